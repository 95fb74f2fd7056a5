// Which view is shown (the address says it), light or dark, and what is printed.
const overview = document.getElementById("overview"), article = document.getElementById("case"), printed = document.getElementById("printed");
const heading = document.title;
let scrolled = 0;

function show() {
  let id = location.hash.slice(1);
  try { id = decodeURIComponent(id); } catch { /* a broken address is an unknown one */ }
  const index = places.get(id);
  const leaving = !overview.hidden;
  if (index === undefined) {
    overview.hidden = false; article.hidden = true;
    forget(); article.replaceChildren();
    document.title = heading;
    window.scrollTo(0, scrolled);
    return;
  }
  if (leaving) scrolled = before;
  forget();
  article.replaceChildren(...caseView(index).filter(Boolean));
  overview.hidden = true; article.hidden = false;
  document.title = `${id} · gaudi-perf`;
  window.scrollTo(0, 0);
  article.querySelector("h1").focus({ preventScroll: true });
}
// The browser scrolls to the row of that name before it tells of the new address: remember where the reader was.
let before = 0;
addEventListener("click", () => { if (!overview.hidden) before = window.scrollY; }, true);
addEventListener("keydown", () => { if (!overview.hidden) before = window.scrollY; }, true);
addEventListener("hashchange", show);

function theme() {
  const button = document.getElementById("theme"), root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const name = () => { button.textContent = now() === "dark" ? "Light" : "Dark"; button.setAttribute("aria-label", `Show in ${now() === "dark" ? "light" : "dark"} colours`); };
  try { const kept = localStorage.getItem("gaudi-perf theme"); if (kept === "dark" || kept === "light") root.dataset.theme = kept; } catch { /* pages from disk may not keep anything */ }
  button.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    try { localStorage.setItem("gaudi-perf theme", root.dataset.theme); } catch { /* then it is not kept */ }
    name();
  });
  dark.addEventListener("change", name);
  button.hidden = false;
  name();
}

// On paper, the cases that need a look follow the overview, each on a page of its own.
const PRINTED = 12, PAPER = 700;
addEventListener("beforeprint", () => {
  for (const [host] of plots) redraw(host, PAPER);
  if (overview.hidden) return;
  for (const cell of document.querySelectorAll("[data-index]")) if (!cell.firstChild && !cell.closest("[hidden]")) sparkline(cell, data.cases[Number(cell.dataset.index)]);
  const worst = visible.filter((index) => ["failed", "invalid", "regressed", "waived"].includes(data.cases[index].state)).slice(0, PRINTED);
  printed.replaceChildren(...worst.map((index) => el("article", {}, ...caseView(index, false).filter(Boolean))));
  for (const host of printed.querySelectorAll(".plot")) redraw(host, host.closest(".pair") ? PAPER / 2 : PAPER);
});
addEventListener("afterprint", () => {
  for (const host of printed.querySelectorAll(".plot")) { watcher.unobserve(host); plots.delete(host); }
  printed.replaceChildren();
  for (const [host] of plots) redraw(host);
});

theme();
startOverview();
heat.start();
refresh();
show();
