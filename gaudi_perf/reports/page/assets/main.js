// The page of a session: which view is shown (the address says it), keys, and what is printed.
import { parse } from "./address.js";
import { caseView } from "./case.js";
import { CaseList, LOOK } from "./cases.js";
import { el } from "./elements.js";
import { startHeat } from "./heat.js";
import { startKeys } from "./keys.js";
import { forget, forgetWithin, redraw, redrawAll } from "./plots.js";
import { copyButton } from "./taking.js";
import { startTheme } from "./theme.js";
import { sparkline } from "./trend.js";

const PRINTED = 12;
const PAPER = 700;
const page = JSON.parse(document.getElementById("data").textContent);
const cases = page.cases;
const places = new Map(cases.map((c, index) => [c.id, index]));
for (const c of cases) {
  c.comparisons = c.comparisons || [];
  c.ratio = c.comparisons.length ? c.comparisons[0].ratio : undefined;
  c.level = c.comparisons.find((one) => one.level)?.level;
  const kinds = c.comparisons.map((one) => `${one.kind} ${one.against || ""}`).join(" ");
  c.searched = `${c.id} ${c.state} ${kinds}`.toLowerCase();
}

const overview = document.getElementById("overview");
const article = document.getElementById("case");
const printed = document.getElementById("printed");
const heading = document.title;
let drawHeat = () => {};
const list = new CaseList(cases, (visible) => drawHeat(visible));
const small = (host) => {
  const { trend } = cases[Number(host.dataset.index)];
  sparkline(host, trend.level, trend.changes);
};
const drawn = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        drawn.unobserve(entry.target);
        small(entry.target);
      }
    }
  },
  { rootMargin: "300px" },
);

let scrolled = 0;
// The browser scrolls to the row of that name before it reports the new address: remember where the reader was.
let before = 0;
for (const kind of ["click", "keydown"]) {
  addEventListener(
    kind,
    () => {
      if (!overview.hidden) before = window.scrollY;
    },
    true,
  );
}

function crumbs(index) {
  const place = list.visible.indexOf(index);
  const link = (at, words) => (at === undefined ? null : el("a", { href: list.address(cases[at].id) }, words));
  const next = place < 0 ? [] : [link(list.visible[place - 1], "← Previous"), link(list.visible[place + 1], "Next →")];
  return el(
    "nav",
    { class: "crumbs", "aria-label": "Cases" },
    el("a", { href: list.address() }, "← All cases"),
    el("span", {}, ...next),
  );
}

function show() {
  const { id } = parse(location.hash);
  const index = places.get(id);
  const leaving = !overview.hidden;
  forget();
  if (index === undefined) {
    overview.hidden = false;
    article.hidden = true;
    article.replaceChildren();
    document.title = heading;
    window.scrollTo(0, scrolled);
    return;
  }
  if (leaving) scrolled = before;
  article.replaceChildren(...caseView(cases[index], page, crumbs(index)));
  overview.hidden = true;
  article.hidden = false;
  document.title = `${id} · gaudi-perf`;
  window.scrollTo(0, 0);
  article.querySelector("h1").focus({ preventScroll: true });
}

/** From case to case, or from row to row. */
function walk(by, wanted = () => true) {
  if (!overview.hidden) {
    list.walk(by, wanted);
    return;
  }
  const at = list.visible.indexOf(places.get(parse(location.hash).id));
  const rest = by > 0 ? list.visible.slice(at + 1) : list.visible.slice(0, Math.max(at, 0)).reverse();
  const next = rest.find((index) => wanted(cases[index]));
  if (next !== undefined) location.hash = list.address(cases[next].id);
}

// On paper, the cases that need a look follow the overview, each on a page of its own.
addEventListener("beforeprint", () => {
  redrawAll(PAPER);
  if (overview.hidden) return;
  for (const cell of document.querySelectorAll("[data-index]")) {
    if (!cell.querySelector("svg") && !cell.closest("[hidden]")) small(cell);
  }
  const worst = list.visible.filter((index) => LOOK.includes(cases[index].state)).slice(0, PRINTED);
  printed.replaceChildren(...worst.map((index) => el("article", {}, ...caseView(cases[index], page, null))));
  for (const host of printed.querySelectorAll(".plot")) redraw(host, host.closest(".pair") ? PAPER / 2 : PAPER);
});
addEventListener("afterprint", () => {
  forgetWithin(printed);
  printed.replaceChildren();
  redrawAll();
});

startTheme();
drawHeat = startHeat(cases, page.stacks, (id) => list.address(id));
list.start();
list.rows.forEach((row, index) => {
  const cell = row.querySelector("td.spark");
  if (cell && cases[index].trend && cases[index].trend.level.length > 1) {
    cell.dataset.index = index;
    drawn.observe(cell);
  }
});
for (const host of document.querySelectorAll(".card .spark")) {
  host.dataset.index = places.get(host.dataset.case);
  drawn.observe(host);
}
for (const pre of document.querySelectorAll("pre.commands")) {
  for (const one of pre.querySelectorAll("code"))
    one.after(" ", copyButton(one.textContent, "Copy", `Copy: ${one.textContent}`));
}
const needsLook = (c) => LOOK.includes(c.state);
startKeys({
  "/": [
    "filter the cases",
    () => {
      if (!article.hidden) location.hash = list.address();
      list.filter.focus();
    },
  ],
  j: ["next case", () => walk(1)],
  k: ["previous case", () => walk(-1)],
  n: ["next case that needs a look", () => walk(1, needsLook)],
  Escape: [
    "all cases",
    () => {
      if (!article.hidden) location.hash = list.address();
    },
  ],
});
addEventListener("hashchange", () => {
  list.read();
  show();
});
show();
