// A case on its own: everything that is known of it, drawn when it is opened.
import { changesFigure, limitFigure, othersOf, splitFigure } from "./comparisons.js";
import { notesOf } from "./drafts.js";
import { el, mark, scrolling, table } from "./elements.js";
import { distributionFigure, roundsFigure } from "./rounds.js";
import { copyButton } from "./taking.js";
import { trendFigure } from "./trend.js";

const NAMES = { failed: "not measured", waived: "waived", skipped: "skipped" };

export const stateName = (c) => NAMES[c.state] || (c.comparisons[0] ? c.comparisons[0].kind : c.state);

function factsOf(c) {
  const pair = ([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  const groups = Object.entries(c.facts || {}).map(([heading, pairs]) =>
    el("div", {}, el("h3", {}, heading), el("dl", {}, ...pairs.map(pair))),
  );
  return el("section", {}, el("h2", {}, "Facts"), el("div", { class: "facts" }, ...groups));
}

function environmentOf(one) {
  const count = one.same.length;
  const heads = ["Component", one.before, one.now];
  const changed = one.changed.length
    ? scrolling(`From ${one.before} to ${one.now}`, table(heads, one.changed, { class: "plain changed" }))
    : el("p", { class: "notes" }, `Nothing: ${one.before} and what was measured are the same.`);
  const words = `${count} that ${count === 1 ? "is" : "are"} the same`;
  const same = count ? el("details", {}, el("summary", {}, words), table(["Component", "Version"], one.same)) : null;
  return el("div", {}, changed, same);
}

function environmentsOf(c, environments) {
  const known = [...new Set(c.comparisons.map((one) => one.environment).filter((one) => one !== undefined))];
  if (!known.length) return null;
  const parts = known.map((one) => environmentOf(environments[one]));
  return el("section", {}, el("h2", {}, "What changed in the environment"), ...parts);
}

function reasonsOf(c) {
  const reasons = c.comparisons
    .filter((one) => one.gates !== false)
    .map((one) => {
      const title = `${one.metric ? `${one.metric}: ` : ""}${one.kind}${one.against ? ` against ${one.against}` : ""}`;
      return el(
        "section",
        {},
        el("h3", {}, title),
        el("ul", { class: "reasons" }, ...(one.why || []).map((words) => el("li", {}, words))),
      );
    });
  return el("section", {}, el("h2", {}, "Why this verdict"), el("div", { class: "pair" }, ...reasons));
}

/** What a case comes to, as Markdown for an issue or a chat. */
export function summaryOf(c, page) {
  const why = c.comparisons.length ? (c.comparisons[0].why || []).map((words) => `- ${words}`) : [];
  return [`**${c.id}**: ${stateName(c)}`, "", c.headline, ...why, "", `Session ${page.session}`].join("\n");
}

/** The parts of a case's view; the first figure comes before the sentences. */
export function caseView(c, page, crumbs) {
  const badge = el("span", { class: `badge s-${c.state}` }, mark(c.state), stateName(c));
  const copied = copyButton(() => summaryOf(c, page), "Copy summary", `Copy the summary of ${c.id}`);
  const parts = [
    crumbs,
    el("h1", { tabindex: -1 }, c.id),
    el("div", { class: "state" }, badge, crumbs ? copied : null),
  ];
  parts.push(el("p", { class: "lead" }, c.headline));
  if (c.waived) parts.push(el("p", {}, `Waived: ${c.waived}`));
  if (c.problem && c.rounds) parts.push(el("p", {}, `Not to be trusted: ${c.problem}.`));
  if (c.rounds) {
    if (c.trend && c.trend.level.length > 1) parts.push(trendFigure(c.trend, page.stacks, c.id));
    parts.push(el("div", { class: "pair" }, changesFigure(c), distributionFigure(c)));
    parts.push(reasonsOf(c));
    if (c.alone) parts.push(el("p", { class: "notes" }, `No trend over sessions: ${c.alone}.`));
  }
  for (const note of c.notes || []) parts.push(el("p", { class: "notes" }, note));
  if (crumbs || (c.written || []).length) parts.push(notesOf(c.id, c.written));
  if (c.rounds) {
    const figures = [roundsFigure(c), splitFigure(c), limitFigure(c)].filter(Boolean);
    parts.push(el("div", { class: "pair" }, ...figures), othersOf(c), factsOf(c), environmentsOf(c, page.environments));
  }
  return parts.filter(Boolean);
}
