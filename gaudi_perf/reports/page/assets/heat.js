// The heat map: latency of each case on each version of the stack, held against another version.
const heat = (() => {
  const section = document.getElementById("heat"), box = document.getElementById("heat-box"), table = document.getElementById("heat-table"), against = document.getElementById("against");
  const columns = [...new Set(data.cases.flatMap((c) => (c.levels || []).map((level) => level[0])))].sort((a, b) => a - b);
  const BINS = [0.01, 0.05, 0.1, 0.25];
  function bin(ratio) {
    const size = BINS.filter((edge) => Math.abs(ratio - 1) >= edge).length;
    return size ? `${ratio > 1 ? "b" : "c"}${size}` : "b0";
  }
  // The session's own stack shows the estimate of its verdict, best one against the chosen version; else the ratio of levels.
  function compared(c, column, other) {
    const made = column === c.stack ? (c.comparisons || []).filter((one) => !one.metric && one.ratio) : [];
    return made.find((one) => one.stack === other) || made[0];
  }
  function cell(level, other, name, verdict) {
    if (level === undefined) return el("td", { class: "none" }, "");
    if (verdict) return titled2(el("td", { class: bin(verdict.ratio) }, change(verdict.ratio)), `${name}: ${seconds(level)}, ${change(verdict.ratio)} against ${verdict.against}: ${verdict.kind}`);
    if (other === undefined) return titled2(el("td", { class: "b0" }, seconds(level)), `${name}: ${seconds(level)}`);
    return titled2(el("td", { class: bin(level / other) }, change(level / other)), `${name}: ${seconds(level)}, ${change(level / other)}`);
  }
  function titled2(node, words) { node.title = words; return node; }
  function refresh() {
    if (section.hidden || !box.open) return;
    const head = el("tr", {}, el("td", {}), ...columns.map((index) => el("th", { scope: "col" }, data.stacks[index])));
    const list = visible.filter((index) => data.cases[index].levels).map((index) => {
      const c = data.cases[index], levels = new Map(c.levels);
      let first, before;  // index of a stack and level
      const cells = columns.map((column) => {
        const level = levels.get(column), [other, reference] = (against.value === "first" ? first : before) || [];
        const made = cell(level, reference, data.stacks[column], compared(c, column, other));
        if (level !== undefined) { before = [column, level]; first = first || before; }
        return made;
      });
      return el("tr", {}, el("th", { scope: "row" }, el("a", { href: `#${encodeURIComponent(c.id)}` }, c.id)), ...cells);
    });
    table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...list));
  }
  function start() {
    section.hidden = columns.length < 2;
    if (section.hidden) return;
    const names = [["c4", "25 % faster"], ["c3", "10 %"], ["c2", "5 %"], ["c1", "1 %"], ["b0", "same"], ["b1", "1 %"], ["b2", "5 %"], ["b3", "10 %"], ["b4", "25 % slower"]];
    document.getElementById("keys").append(...names.map(([kind, words]) => el("span", { class: kind }, words)));
    box.addEventListener("toggle", refresh);
    against.addEventListener("change", refresh);
    if (data.cases.length <= 60) box.open = true;
  }
  return { refresh, start };
})();
