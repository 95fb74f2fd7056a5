// Tables of the site: the cases of a session or of all, all sessions; and the page of a trend.
import { bar } from "./bars.js";
import { CaseList, LOOK } from "./cases.js";
import { notesOf } from "./drafts.js";
import { el, mark, scrolling, svg, table } from "./elements.js";
import { figure } from "./figure.js";
import { startKeys } from "./keys.js";
import { change, interval, moment, seconds } from "./numbers.js";
import { sparkline, trendFigure } from "./trend.js";

const CARDS = 8;
const view = () => document.getElementById("view");
const known = (value) => value !== null && value !== undefined;
const orDash = (value, write) => (known(value) ? write(value) : "–");

/** The links that a page of the site has in its head are also keys. */
export function pageKeys(up, more = {}) {
  const go = (page) => () => {
    location.href = `${up}${page}`;
  };
  startKeys({
    ...more,
    h: ["newest session", go("index.html")],
    c: ["all cases", go("cases.html")],
    s: ["all sessions", go("sessions.html")],
    x: ["compare", go("compare.html")],
  });
}

/** The rows of a session, each as an object. */
export function casesOf(session, names, sparks = {}) {
  const cases = session.case.map((index, at) => {
    const [state, stateName] = names.states[session.state[at]];
    const trend = session.trend[at] >= 0 ? names.trends[session.trend[at]] : null;
    const against = session.baseline[at] >= 0 ? names.baselines[session.baseline[at]] : "";
    const id = names.cases[index];
    const { tolerance } = names;
    const own = { ratio: session.ratio[at], low: session.low[at], high: session.high[at], tolerance };
    const made = { ...own, level: session.before[at], latency: session.level[at] };
    return {
      ...made,
      id,
      state,
      stateName,
      against,
      page: trend?.page,
      device: trend ? trend.device : "",
      severity: session.state[at],
      spark: sparks[session.trend[at]],
      headline: session.headlines[index],
      searched: `${id} ${stateName} ${state} ${against} ${trend ? trend.device : ""}`.toLowerCase(),
    };
  });
  // The worst first, and of those the slowest; an order that is asked for goes before.
  return cases.sort((a, b) => a.severity - b.severity || (b.ratio || 0) - (a.ratio || 0));
}

function heads(columns) {
  const cells = columns.map(([key, words, kind]) =>
    el("th", { scope: "col", class: kind, "data-key": key || null }, words),
  );
  return el("thead", {}, el("tr", {}, ...cells));
}

function link(c, up) {
  return c.page ? el("a", { href: `${up}cases/${c.page}.html` }, c.id) : el("span", {}, c.id);
}

function rowOf(c, up) {
  const judged = known(c.ratio) && known(c.low) && known(c.high);
  const baseline = c.against.split("/").pop();
  return el(
    "tr",
    {},
    el("td", { class: `verdict s-${c.state}` }, mark(c.state), c.stateName),
    el("th", { scope: "row" }, link(c, up)),
    el(
      "td",
      { class: "num", "data-label": "change" },
      orDash(c.ratio, change),
      ...(judged ? [el("br"), el("small", {}, interval(c.low, c.high))] : []),
    ),
    el("td", { class: "wide" }, judged ? bar(c) : null),
    el("td", { class: "num", "data-label": "latency" }, orDash(c.latency, seconds)),
    el(
      "td",
      { class: "num", "data-label": "baseline" },
      orDash(c.level, seconds),
      ...(baseline ? [el("br"), el("small", {}, baseline)] : []),
    ),
    el(
      "td",
      { class: "wide spark" },
      c.spark && c.spark.level.length > 1 ? null : el("small", {}, c.spark ? "first session" : ""),
    ),
  );
}

const COLUMNS = [
  ["severity", "Verdict", "c-severity"],
  ["id", "Case", "c-id"],
  ["ratio", "Change", "num c-ratio"],
  ["", "faster | slower", "wide c-bar"],
  ["latency", "Latency", "num c-latency"],
  ["level", "Baseline", "num c-level"],
  ["", "Sessions", "wide c-sessions"],
];

function trendRow(c, up) {
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, link(c, up), ...(c.more ? [el("br"), el("small", {}, c.more)] : [])),
    el("td", {}, c.device),
    el("td", { class: "num", "data-label": "latency" }, seconds(c.latency)),
    el(
      "td",
      { class: "num", "data-label": "last change" },
      orDash(c.ratio, change),
      c.since ? el("br") : null,
      el("small", {}, c.since ? c.since.split(":")[0] : ""),
    ),
    el("td", { class: "num", "data-label": "sessions" }, String(c.sessions)),
    el("td", { class: "num", "data-label": "last" }, c.at),
  );
}

const TREND_COLUMNS = [
  ["id", "Case", "c-id"],
  ["device", "Device", "c-device"],
  ["latency", "Latency", "num c-latency"],
  ["ratio", "Last change of level", "num c-since"],
  ["sessions", "Sessions", "num c-level"],
  ["at", "Measured last (UTC)", "num"],
];

function trendsOf(data) {
  return data.trends.map((one, place) => {
    const { page, case: index, device, more = "" } = data.names.trends[one.trend];
    const id = data.names.cases[index];
    const searched = `${id} ${device} ${more}`.toLowerCase();
    return { ...one, id, page, device, more, latency: one.level, severity: place, state: "", searched };
  });
}

/** The form above a table of cases. */
function tools(columns, count, usual) {
  const keyed = columns.filter(([key]) => key && key !== usual[0]).map(([key, words]) => [key, words.toLowerCase()]);
  const options = [usual, ...keyed].map(([key, words]) => el("option", { value: key }, words));
  const words = `${count} of ${count} cases`;
  return el(
    "form",
    { class: "tools", id: "tools" },
    el("label", { for: "filter" }, "Filter"),
    el("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "8x graphs" }),
    el("label", { for: "sort" }, "Sort by"),
    el("select", { id: "sort" }, ...options),
    el("output", { id: "shown", for: "filter sort", "aria-live": "polite" }, words),
  );
}

/** A table of cases with its form; `usual` is the key of the usual order and its name. Returns its list, started. */
export function caseTable(host, title, cases, columns, row, usual) {
  const body = el("tbody", {}, ...cases.map(row));
  const none = el("p", { id: "none", class: "notes", hidden: true }, "No case matches. ");
  none.append(el("button", { type: "button", class: "quiet", id: "clear" }, "Show all"));
  const drawn = el("table", { class: "cases", id: "table" }, heads(columns), body);
  host.append(el("section", {}, el("h2", {}, title), tools(columns, cases.length, usual), drawn, none));
  const list = new CaseList(cases, () => {});
  list.start();
  return list;
}

function aboutOf(session, up) {
  const pairs = session.about.map(([name, words]) => [name, words]);
  const links = (session.links || []).map(([name, words, address]) => [
    name,
    address ? el("a", { href: address, rel: "noreferrer" }, words) : words,
  ]);
  const own = [["Session", el("a", { href: `${up}sessions/${session.id}.html` }, session.id)]];
  const made = [...pairs, ...links, ...own].map(([name, words]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, words)),
  );
  return el("dl", { class: "about" }, ...made);
}

function countsOf(cases, names) {
  const counts = names.states.map(([key, words]) => [key, words, cases.filter((c) => c.state === key).length]);
  const buttons = counts
    .filter(([, , count]) => count)
    .map(([key, words, count]) => {
      const about = { type: "button", class: `count s-${key}`, "data-state": key, "aria-pressed": "false" };
      return el("button", about, mark(key), el("b", {}, String(count)), ` ${words}`);
    });
  return el("div", { class: "counts", role: "group", "aria-label": "Show only cases with these verdicts" }, ...buttons);
}

function cardOf(c, up) {
  const since = c.spark?.since ? el("p", { class: "since" }, el("b", {}, c.spark.since)) : null;
  const line = c.spark && c.spark.level.length > 1 ? el("div", { class: "spark" }) : null;
  const made = el("article", { class: `card s-${c.state}` }, el("h3", {}, mark(c.state), link(c, up)));
  made.append(...[line, el("p", {}, c.headline || c.stateName), since].filter(Boolean));
  return [made, line, c];
}

function drawSpark(host, spark) {
  const shifts = (spark.changes || []).map(([index, ratio]) => ({ index, ratio }));
  sparkline(host, spark.level, shifts);
}

/** A session that has no verdicts: what it measured all the same. */
function startUnfinished(session, data, up) {
  view().append(el("h1", {}, session.title), aboutOf(session, up));
  const [trends, levels] = session.levels;
  const rows = trends.map((trend, at) => {
    const { page, case: index, device } = data.names.trends[trend];
    return [el("a", { href: `${up}cases/${page}.html` }, data.names.cases[index]), device, seconds(levels[at], 4)];
  });
  if (rows.length)
    view().append(el("section", {}, el("h2", {}, "Measured"), table(["Case", "Device", "Latency"], rows)));
  pageKeys(up);
}

/** The page of a session; without one, that of all trends. */
export function startCaseTable(session, data, up) {
  if (!session) {
    view().append(el("h1", {}, "All cases"));
    const usual = ["severity", "measured last"];
    const list = caseTable(view(), "Cases", trendsOf(data), TREND_COLUMNS, (c) => trendRow(c, up), usual);
    addEventListener("hashchange", () => list.read());
    pageKeys(up, walking(list));
    return;
  }
  if (!session.case.length) {
    startUnfinished(session, data, up);
    return;
  }
  const sparks = data.index?.newest.id === session.id ? data.index.sparks : {};
  const cases = casesOf(session, data.names, sparks);
  view().append(el("h1", {}, session.title), aboutOf(session, up), countsOf(cases, data.names));
  const look = cases.filter((c) => LOOK.includes(c.state)).slice(0, CARDS);
  if (look.length) {
    const cards = look.map((c) => cardOf(c, up));
    view().append(
      el("section", {}, el("h2", {}, "Needs a look"), el("div", { class: "cards" }, ...cards.map(([card]) => card))),
    );
    for (const [, host, c] of cards) if (host) drawSpark(host, c.spark);
  }
  const columns = data.index ? COLUMNS : COLUMNS.slice(0, -1);
  const row = (c) => {
    const made = rowOf(c, up);
    if (!data.index) made.lastChild.remove();
    return made;
  };
  const list = caseTable(view(), "Cases", cases, columns, row, ["severity", "verdict, worst first"]);
  addEventListener("hashchange", () => list.read());
  if (data.index) watchSparks(list);
  pageKeys(up, walking(list));
  if (!data.index) return;
  const previous = data.index.previous.map(([id, words]) =>
    el("li", {}, el("a", { href: `${up}sessions/${id}.html` }, words)),
  );
  if (previous.length)
    view().append(el("section", {}, el("h2", {}, "Sessions before"), el("ul", { class: "reasons" }, ...previous)));
}

function watchSparks(list) {
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen.unobserve(entry.target);
        drawSpark(entry.target, list.cases[Number(entry.target.dataset.index)].spark);
      }
    },
    { rootMargin: "300px" },
  );
  list.rows.forEach((row, index) => {
    const cell = row.querySelector("td.spark");
    if (!list.cases[index].spark || list.cases[index].spark.level.length < 2) return;
    cell.dataset.index = index;
    seen.observe(cell);
  });
}

/** Keys that walk through a list. */
export function walking(list) {
  return {
    "/": ["filter the cases", () => list.filter.focus()],
    j: ["next case", () => list.walk(1)],
    k: ["previous case", () => list.walk(-1)],
    n: ["next case that needs a look", () => list.walk(1, (c) => LOOK.includes(c.state))],
  };
}

export function startSessionList(data, up) {
  const { states } = data.names;
  const rows = data.sessions.map((one) => {
    const counts = Object.entries(one.counts).map(([index, count]) => {
      const [key, words] = states[Number(index)];
      return el("span", { class: "legend", title: words }, mark(key), `${count} ${words}`);
    });
    return [
      el("a", { href: `${up}sessions/${one.id}.html` }, one.at),
      one.title,
      one.devices,
      one.stacks,
      el("span", {}, ...counts),
    ];
  });
  const words = rows.length === 1 ? "1 session" : `${rows.length} sessions`;
  const drawn = table(["Began (UTC)", "What it came to", "Device", "Stack", "Verdicts"], rows, {
    class: "plain compact",
  });
  view().append(
    el("h1", {}, words),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Sessions" }, drawn),
  );
  pageKeys(up);
}

function levelsFigure(page, name) {
  const most = Math.max(...page.levels.map(([, level]) => level));
  const rows = page.levels.map(([stack, level, sessions], index) => {
    const before = index ? change(level / page.levels[index - 1][1]) : "–";
    const picture = svg("svg", { width: 200, height: 14, viewBox: "0 0 200 14", "aria-hidden": "true" });
    picture.append(svg("rect", { width: Math.max((200 * level) / most, 1), height: 14, class: "f-now faint" }));
    return [stack, seconds(level, 4), before, String(sessions), el("span", { class: "plot" }, picture)];
  });
  const heading = ["Version", "Level", "Change", "Sessions", ""];
  const numbers = { heads: heading.slice(0, -1), rows: () => rows.map((row) => row.slice(0, -1)) };
  const about = { title: "Versions of the stack", name: `${name}-versions`, numbers, listed: false };
  return figure(about, scrolling(about.title, table(heading, rows, { class: "plain levels" })));
}

/** The page of a case: its trend over all sessions. */
export function startTrendPage(page, data, up) {
  document.title = `${page.case} · ${document.title.split(" · ").pop()}`;
  const pairs = page.about.map(([name, words]) => el("div", {}, el("dt", {}, name), el("dd", {}, words)));
  view().append(el("h1", {}, page.case), el("dl", { class: "about" }, ...pairs));
  if (page.trend.level.length > 1) view().append(trendFigure(page.trend, page.stacks, page.case));
  else view().append(el("p", { class: "notes" }, "One session measured it; a trend begins with the second."));
  view().append(levelsFigure(page, page.case), notesOf(page.case, page.written || []));
  const last = page.sessions.slice(-30).reverse();
  const offset = page.sessions.length - 1;
  const rows = last.map((session, back) => {
    const at = offset - back;
    const id = data.places[session];
    const link = el("a", { href: `${up}sessions/${id}.html` }, moment(page.trend.at[at]));
    return [link, page.stacks[page.trend.stack[at]], seconds(page.trend.level[at], 4)];
  });
  const words = rows.length < page.sessions.length ? `The newest ${rows.length} sessions` : "Sessions";
  view().append(el("section", {}, el("h2", {}, words), table(["Began (UTC)", "Stack", "Median"], rows)));
  pageKeys(up);
}
