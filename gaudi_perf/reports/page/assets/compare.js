// Any two sessions or versions, case by case; which two, and what is shown of them, stands in the address.
import { parse } from "./address.js";
import { el } from "./elements.js";
import { bin } from "./heat.js";
import { caseTable, pageKeys, walking } from "./listing.js";
import { change, csv, seconds } from "./numbers.js";
import { copyButton, save } from "./taking.js";

const RELEASE = "release:";
const SESSION = "session:";
const BETWEEN = "..";

function options(data) {
  const count = (one) => (one.sessions === 1 ? "1 session" : `${one.sessions} sessions`);
  const releases = data.releases.map((one) => [`${RELEASE}${one.name}`, `${one.name} (${count(one)})`]).reverse();
  const sessions = data.sessions.map((one) => [`${SESSION}${one.id}`, `${one.at}, ${one.stacks}`]);
  const made = (list) => list.map(([value, words]) => el("option", { value }, words));
  return [
    el("optgroup", { label: "Versions" }, ...made(releases)),
    el("optgroup", { label: "Sessions" }, ...made(sessions)),
  ];
}

/** Load the data of a session, once. */
function loaded(id, data, up) {
  const key = `session/${id}`;
  if (data[key]) return Promise.resolve(data[key]);
  return new Promise((done) => {
    const script = el("script", { src: `${up}sessions/${id}.js` });
    script.addEventListener("load", () => done(data[key]));
    script.addEventListener("error", () => done(undefined));
    document.head.append(script);
  });
}

/** The levels of a side by trend; undefined if there is no such side. */
async function levelsOf(side, data, up) {
  if (side.startsWith(RELEASE)) {
    const found = data.releases.find((one) => one.name === side.slice(RELEASE.length));
    return found && new Map(found.trend.map((trend, at) => [trend, found.level[at]]));
  }
  const id = side.slice(SESSION.length);
  if (!data.sessions.some((one) => one.id === id)) return undefined;
  const session = await loaded(id, data, up);
  return session && new Map(session.levels[0].map((trend, at) => [trend, session.levels[1][at]]));
}

/** What both sides have, the slowest change first. */
export function compared(ours, theirs, names) {
  const rows = [...ours]
    .filter(([trend]) => theirs.has(trend))
    .map(([trend, level]) => {
      const { page, case: index, device, more = "" } = names.trends[trend];
      const before = theirs.get(trend);
      const id = names.cases[index];
      const searched = `${id} ${device} ${more}`.toLowerCase();
      return { id, page, device, more, level, before, ratio: level / before, state: "", searched };
    })
    .sort((a, b) => b.ratio - a.ratio);
  rows.forEach((row, index) => {
    row.severity = index;
  });
  return rows;
}

const COLUMNS = [
  ["id", "Case", "c-id"],
  ["device", "Device", "c-device"],
  ["level", "A", "num c-level"],
  ["before", "B", "num c-level"],
  ["ratio", "A against B", "num c-ratio"],
];

function rowOf(one, up) {
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("a", { href: `${up}cases/${one.page}.html` }, one.id)),
    el("td", {}, one.device, one.more ? el("small", {}, ` ${one.more}`) : null),
    el("td", { class: "num", "data-label": "A" }, seconds(one.level, 4)),
    el("td", { class: "num", "data-label": "B" }, seconds(one.before, 4)),
    el("td", { class: "num" }, el("span", { class: `cell ${bin(one.ratio)}` }, change(one.ratio))),
  );
}

function draw(host, rows, alone, { tolerance }, up) {
  const heads = COLUMNS.map(([, words]) => words);
  const cells = (one) => [one.id, one.device, one.level, one.before, change(one.ratio)];
  const asText = () => csv(heads, rows.map(cells));
  const take = el("button", { type: "button", class: "quiet" }, "CSV");
  take.addEventListener("click", () => save("compare.csv", new Blob([asText()], { type: "text/csv" })));
  const slower = rows.filter((one) => one.ratio > 1 + tolerance).length;
  const faster = rows.filter((one) => one.ratio < 1 - tolerance).length;
  const more = `more than ${Number((100 * tolerance).toPrecision(4))} %`;
  const found = `${slower} ${more} slower, ${faster} ${more} faster`;
  host.replaceChildren(
    el("p", { class: "lead" }, `${rows.length} cases in common: ${found}; ${alone} on one side only.`),
    el(
      "p",
      { class: "notes" },
      "Levels are compared, not runs: gaudi-perf compare gives intervals and verdicts. ",
      take,
      " ",
      copyButton(asText, "Copy", "Copy the table"),
    ),
  );
  return caseTable(host, "Cases", rows, COLUMNS, (one) => rowOf(one, up), ["severity", "change, slowest first"]);
}

export function startCompare(data, up) {
  const host = el("div", {});
  const [a, b] = ["a", "b"].map((id) => el("select", { id }, ...options(data)));
  const form = el(
    "form",
    { class: "tools" },
    el("label", { for: "a" }, "A"),
    a,
    el("label", { for: "b" }, "against B"),
  );
  form.append(b);
  document.getElementById("view").append(el("h1", {}, "Compare"), form, host);
  let list;
  let shown = "";
  async function show() {
    const both = `${a.value}${BETWEEN}${b.value}`;
    if (both === shown) {
      list?.read();
      return;
    }
    shown = both;
    const [ours, theirs] = await Promise.all([levelsOf(a.value, data, up), levelsOf(b.value, data, up)]);
    if (ours && theirs) {
      const rows = compared(ours, theirs, data.names);
      list = draw(host, rows, ours.size + theirs.size - 2 * rows.length, data.names, up);
      pageKeys(up, walking(list));
    } else {
      host.replaceChildren(el("p", { class: "lead" }, "One of the two is not on this site."));
    }
  }
  function read() {
    const [ours, theirs] = parse(location.hash).id.split(BETWEEN);
    const names = data.releases.map((one) => `${RELEASE}${one.name}`);
    a.value = ours || names[names.length - 1];
    b.value = theirs || names[Math.max(names.length - 2, 0)];
    show();
  }
  for (const one of [a, b]) {
    one.addEventListener("change", () => {
      location.hash = list.address(`${a.value}${BETWEEN}${b.value}`);
    });
  }
  addEventListener("hashchange", read);
  form.addEventListener("submit", (event) => event.preventDefault());
  read();
}
