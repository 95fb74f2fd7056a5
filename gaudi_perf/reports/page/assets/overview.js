// The overview: filtering and sorting rows, small trends beside those that are in sight.
const body = document.querySelector("#table tbody"), rows = [...body.rows];
const places = new Map(data.cases.map((c, index) => [c.id, index]));
const states = new Set(), filter = document.getElementById("filter"), sorter = document.getElementById("sort");
let order = { key: "severity", up: true }, visible = data.cases.map((_, index) => index), standing = visible;
const searched = data.cases.map((c) => `${c.id} ${c.state} ${c.comparisons ? c.comparisons.map((one) => `${one.kind} ${one.against || ""}`).join(" ") : ""}`.toLowerCase());
data.cases.forEach((c) => { c.comparisons = c.comparisons || []; c.ratio = c.comparisons.length ? c.comparisons[0].ratio : undefined; });

const drawn = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { drawn.unobserve(entry.target); sparkline(entry.target, data.cases[Number(entry.target.dataset.index)]); }
}, { rootMargin: "300px" });

function refresh() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const sign = order.up ? 1 : -1, key = order.key;
  const compare = (a, b) => {
    const one = data.cases[a][key], other = data.cases[b][key];
    if (one === other) return a - b;
    if (one === undefined) return 1; // what is not known comes last, whichever way it is sorted
    if (other === undefined) return -1;
    return (one < other ? -1 : 1) * sign;
  };
  const sorted = data.cases.map((_, index) => index).sort(compare);
  visible = sorted.filter((index) => (!states.size || states.has(data.cases[index].state)) && words.every((word) => searched[index].includes(word)));
  const shown = new Set(visible);
  rows.forEach((row, index) => { row.hidden = !shown.has(index); });
  if (sorted.some((index, place) => index !== standing[place])) { body.append(...sorted.map((index) => rows[index])); standing = sorted; }
  document.getElementById("shown").textContent = `${visible.length} of ${data.cases.length} cases`;
  document.getElementById("none").hidden = visible.length > 0;
  for (const head of document.querySelectorAll("#table th[data-key]")) {
    if (head.dataset.key === key) head.setAttribute("aria-sort", order.up ? "ascending" : "descending"); else head.removeAttribute("aria-sort");
  }
  sorter.value = key;
  heat.refresh();
}
function sortBy(key, up) { order = { key, up }; refresh(); }

function startOverview() {
  for (const head of document.querySelectorAll("#table th[data-key]")) {
    const button = el("button", { type: "button" }, head.textContent), key = head.dataset.key;
    button.addEventListener("click", () => sortBy(key, order.key === key ? !order.up : key === "severity" || key === "id"));
    head.replaceChildren(button);
  }
  document.getElementById("tools").hidden = false;
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("input", refresh);
  sorter.addEventListener("change", () => sortBy(sorter.value, sorter.value === "severity" || sorter.value === "id"));
  for (const button of document.querySelectorAll(".count")) button.addEventListener("click", () => {
    const state = button.dataset.state, on = !states.has(state);
    if (on) states.add(state); else states.delete(state);
    button.setAttribute("aria-pressed", String(on));
    refresh();
  });
  document.getElementById("clear").addEventListener("click", () => {
    states.clear(); filter.value = "";
    for (const button of document.querySelectorAll(".count")) button.setAttribute("aria-pressed", "false");
    refresh(); filter.focus();
  });
  rows.forEach((row, index) => { const cell = row.querySelector("td.spark"); if (cell && data.cases[index].trend) { cell.dataset.index = index; drawn.observe(cell); } });
  for (const host of document.querySelectorAll(".card .spark")) { host.dataset.index = places.get(host.dataset.case); drawn.observe(host); }
}
