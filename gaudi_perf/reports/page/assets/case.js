// A case on its own: everything that is known of it, drawn when it is opened.
const mark = (key) => svg("svg", { class: `mark s-${key}`, width: 14, height: 14, "aria-hidden": "true" }, svg("use", { href: `#m-${key}` }));
function figure(title, caption, ...children) {
  return el("figure", {}, el("h2", {}, title), el("figcaption", {}, ...caption), ...children);
}
function numbers(heads, list) {
  const box = el("details", {}, el("summary", {}, "Numbers"));
  box.addEventListener("toggle", () => {
    if (box.children.length > 1) return;
    const table = el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)))));
    table.append(el("tbody", {}, ...list().map((cells) => el("tr", {}, ...cells.map((words) => el("td", {}, words))))));
    box.append(el("div", { class: "scroll", tabindex: 0 }, table));
  });
  return box;
}
function crumbs(index) {
  const place = visible.indexOf(index), link = (at, words) => (at === undefined ? null : el("a", { href: `#${encodeURIComponent(data.cases[at].id)}` }, words));
  return el("nav", { class: "crumbs", "aria-label": "Cases" }, el("a", { href: "#" }, "← All cases"), el("span", {}, place < 0 ? null : link(visible[place - 1], "← Previous"), place < 0 ? null : link(visible[place + 1], "Next →")));
}
const NAMES = { failed: "not measured", waived: "waived", skipped: "skipped" };

function caseView(index, withCrumbs = true) {
  const c = data.cases[index], parts = [];
  if (withCrumbs) parts.push(crumbs(index));
  const name = NAMES[c.state] || (c.comparisons[0] ? c.comparisons[0].kind : c.state);
  parts.push(el("h1", { tabindex: -1 }, c.id), el("p", { class: `badge s-${c.state}` }, mark(c.state), name), el("p", { class: "lead" }, c.headline));
  if (c.waived) parts.push(el("p", {}, `Waived: ${c.waived}`));
  if (c.problem && c.rounds) parts.push(el("p", {}, `Not to be trusted: ${c.problem}.`));
  for (const note of c.notes || []) parts.push(el("p", { class: "notes" }, note));
  if (!c.rounds) return parts;
  const reasons = c.comparisons.map((one) => el("section", {}, el("h3", {}, `${one.metric ? `${one.metric}: ` : ""}${one.kind}${one.against ? ` against ${one.against}` : ""}${one.gates === false ? " (does not decide the test)" : ""}`), el("ul", { class: "reasons" }, ...(one.why || []).map((words) => el("li", {}, words)))));
  parts.push(el("section", {}, el("h2", {}, "Why this verdict"), el("div", { class: "pair" }, ...reasons)));
  if (c.trend && c.trend.level.length > 1) parts.push(trendFigure(c));
  const ratio = ratioPlot(c), split = splitPlot(c);
  const level = (c.comparisons.find((one) => one.level) || {}).level;
  const one = figure("Rounds, in order", legend([dot("f-none"), "warm-up"], [dot("f-now see"), "rounds that count"], [svg("rect", { width: 14, height: 14, class: "f-steady" }), "steady"], ...(level ? [[line(0, 7, 14, 7, "t-before bold dash"), "baseline's level"]] : [])), roundsPlot(c), numbers(["Run", "Started (UTC)", "Warm-up", "Rounds that count"], () => c.rounds.map((run, k) => [String(k + 1), run.at, (run.warm || []).map((v) => seconds(v)).join(", "), run.kept.map((v) => seconds(v)).join(", ")])));
  const two = figure("This session and the baseline", ["Each dot is a round, the box holds the middle half, the line is the median, diamonds are the medians of runs."], distributionPlot(c));
  parts.push(el("div", { class: "pair" }, one, two));
  const small = [];
  if (ratio) small.push(figure("Change, with its interval", ["The shaded part is the tolerance; right of the middle is slower."], ratio));
  if (split) small.push(figure("First token, and the rest", ["Taken in rounds of their own: full colour until the first token, pale for all that follow."], split));
  if (c.limit) small.push(figure("Distance from the memory's limit", [c.limit.text], limitPlot(c)));
  parts.push(el("div", { class: "pair" }, ...small), factsOf(c), environmentsOf(c));
  return parts;
}
function trendFigure(c) {
  const t = c.trend, shifts = t.changes || [];
  const words = shifts.length ? "Numbered lines are changes of level." : "No change of level was found.";
  const odd = (t.odd || []).map((text) => el("p", { class: "notes" }, `${text}.`));
  const list = shifts.length ? el("ol", { class: "reasons" }, ...shifts.map((shift) => el("li", {}, `${shift.text}. ${shift.changed && shift.changed.length ? `Changed in the stack: ${shift.changed.join(", ")}.` : "No recorded stack change."}`))) : null;
  return figure("Sessions and versions", [`Medians with the middle half of their rounds; bands are versions of the stack. ${words}`], trendPlot(c), list, ...odd, numbers(["Session (UTC)", "Stack", "Median", "Middle half"], () => t.at.map((at, i) => [moment(at), data.stacks[t.stack[i]], seconds(t.level[i], 4), `${seconds(t.low[i])} to ${seconds(t.high[i])}`])));
}
function factsOf(c) {
  const groups = Object.entries(c.facts || {}).map(([heading, pairs]) => el("div", {}, el("h3", {}, heading), el("dl", {}, ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))))));
  return el("section", {}, el("h2", {}, "Facts"), el("div", { class: "facts" }, ...groups));
}
function environmentsOf(c) {
  const known = [...new Set(c.comparisons.map((one) => one.environment).filter((one) => one !== undefined))].map((one) => data.environments[one]);
  if (!known.length) return null;
  const heads = (one) => el("thead", {}, el("tr", {}, ...["", one.before, one.now].map((name) => el("th", { scope: "col" }, name))));
  return el("section", {}, el("h2", {}, "What changed in the environment"), ...known.map((one) => el("div", {},
    one.changed.length ? el("div", { class: "scroll", tabindex: 0 }, el("table", { class: "plain changed" }, heads(one), el("tbody", {}, ...one.changed.map(([name, before, now]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, before), el("td", {}, now)))))) : el("p", { class: "notes" }, `Nothing: ${one.before} and what was measured are the same.`),
    one.same.length ? el("details", {}, el("summary", {}, `${one.same.length} that ${one.same.length === 1 ? "is" : "are"} the same`), el("table", { class: "plain" }, el("tbody", {}, ...one.same.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))))) : null)));
}
