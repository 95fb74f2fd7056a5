// The heat map: latency of each case on each version of the stack, held against another version.
import { el } from "./elements.js";
import { change, seconds } from "./numbers.js";

const BINS = [0.01, 0.05, 0.1, 0.25];
const KEYS = [
  ["c4", "25 % faster"],
  ["c3", "10 %"],
  ["c2", "5 %"],
  ["c1", "1 %"],
  ["b0", "same"],
  ["b1", "1 %"],
  ["b2", "5 %"],
  ["b3", "10 %"],
  ["b4", "25 % slower"],
];
const MOST_OPEN = 60;

/** The class of a colour for a ratio. */
export function bin(ratio) {
  const size = BINS.filter((edge) => Math.abs(ratio - 1) >= edge).length;
  return size ? `${ratio > 1 ? "b" : "c"}${size}` : "b0";
}

/** The session's own stack shows the estimate of its verdict, best one against the chosen version. */
function compared(c, column, other) {
  const made = column === c.stack ? (c.comparisons || []).filter((one) => !one.metric && one.ratio) : [];
  return made.find((one) => one.stack === other) || made[0];
}

function cell(level, other, name, verdict) {
  if (level === undefined) return el("td", { class: "none" }, "");
  if (verdict) {
    const words = `${name}: ${seconds(level)}, ${change(verdict.ratio)} against ${verdict.against}: ${verdict.kind}`;
    return el("td", { class: bin(verdict.ratio), title: words }, change(verdict.ratio));
  }
  if (other === undefined) return el("td", { class: "b0", title: `${name}: ${seconds(level)}` }, seconds(level));
  const words = `${name}: ${seconds(level)}, ${change(level / other)}`;
  return el("td", { class: bin(level / other), title: words }, change(level / other));
}

function row(c, columns, stacks, against, address) {
  const levels = new Map(c.levels);
  let first;
  let before; // index of a stack and level
  const cells = columns.map((column) => {
    const level = levels.get(column);
    const [other, reference] = (against === "first" ? first : before) || [];
    const made = cell(level, reference, stacks[column], compared(c, column, other));
    if (level !== undefined) {
      before = [column, level];
      first = first || before;
    }
    return made;
  });
  return el("tr", {}, el("th", { scope: "row" }, el("a", { href: address(c.id) }, c.id)), ...cells);
}

/** Starts the heat map; returns what draws it for the cases that are visible. */
export function startHeat(cases, stacks, address) {
  const section = document.getElementById("heat");
  const box = document.getElementById("heat-box");
  const against = document.getElementById("against");
  const columns = [...new Set(cases.flatMap((c) => (c.levels || []).map((level) => level[0])))].sort((a, b) => a - b);
  let visible = [];
  function draw() {
    if (section.hidden || !box.open) return;
    const heads = columns.map((index) => el("th", { scope: "col" }, stacks[index]));
    const head = el("tr", {}, el("th", { scope: "col" }, "Case"), ...heads);
    const rows = visible.filter((index) => cases[index].levels);
    const body = rows.map((index) => row(cases[index], columns, stacks, against.value, address));
    document.getElementById("heat-table").replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  }
  section.hidden = columns.length < 2;
  if (!section.hidden) {
    document.getElementById("keys").append(...KEYS.map(([kind, words]) => el("span", { class: kind }, words)));
    box.addEventListener("toggle", draw);
    against.addEventListener("change", draw);
    if (cases.length <= MOST_OPEN) box.open = true;
  }
  return (list) => {
    visible = list;
    draw();
  };
}
