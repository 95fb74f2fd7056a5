// The trend of a case over sessions and versions, small beside its row and large on its own page.
import { el, line, svg, text } from "./elements.js";
import { figure } from "./figure.js";
import { moment, padded, scale, seconds } from "./numbers.js";
import { axisLeft, axisOfTime, plot } from "./plots.js";

/** A small line of levels; `changes` have the index at which a level begins. */
export function sparkline(host, levels, changes = []) {
  if (levels.length < 2) return;
  const small = host.tagName === "TD";
  const width = small ? 104 : Math.min(host.clientWidth || 300, 600);
  const height = small ? 28 : 44;
  const y = scale(...padded(Math.min(...levels), Math.max(...levels)), height - 3, 3);
  const x = scale(0, levels.length - 1, 3, width - 5);
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const path = levels.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`);
  picture.append(svg("path", { d: path.join(""), class: "line t-soft" }));
  for (const shift of changes) {
    picture.append(line(x(shift.index), 0, x(shift.index), height, shift.ratio > 1 ? "t-slower" : "t-faster"));
  }
  const last = levels.length - 1;
  picture.append(svg("circle", { cx: x(last), cy: y(levels[last]), r: 2.8, class: "f-now" }));
  host.replaceChildren(picture);
}

/** Stretches of sessions on the same stack. */
export function stretches(stacks) {
  const found = [];
  stacks.forEach((stack, index) => {
    const last = found[found.length - 1];
    if (last && last.stack === stack) last.end = index;
    else found.push({ stack, start: index, end: index });
  });
  return found;
}

const LEFT = 62;

/** Bands of versions, with their names where there is room. */
function bands(picture, trend, names, edge, x, bottom) {
  const parts = stretches(trend.stack);
  let free = 0;
  parts.forEach((part, index) => {
    const last = index === parts.length - 1;
    const from = part.start ? edge(part.start) : x.from;
    const to = last ? x.to : edge(part.end + 1);
    if (index % 2)
      picture.append(
        svg("rect", { x: from, width: Math.max(to - from, 0), y: 22, height: bottom - 22, class: "f-wash" }),
      );
    const name = names[part.stack];
    const room = Math.max(to - from, last ? 0 : 40);
    const words = [name, name.replace(/^[a-z]+-/, "")].find((one) => one.length * 7 + 6 < room);
    if (words && from + 3 >= free) {
      picture.append(text(from + 3, 14, words));
      free = from + 3 + words.length * 7 + 4;
    }
  });
}

export function trendPlot(trend, names) {
  const count = trend.level.length;
  const label = `latency over ${count} sessions, from ${moment(trend.at[0])} to ${moment(trend.at[count - 1])}`;
  return plot(300, label, (picture, width, height, point) => {
    const top = 44;
    const bottom = height - 28;
    const y = scale(...padded(Math.min(...trend.low), Math.max(...trend.high)), bottom, top);
    const spaced = trend.at[count - 1] - trend.at[0] || 1;
    const x = scale(trend.at[0] - spaced * 0.015, trend.at[count - 1] + spaced * 0.02, LEFT, width - 8);
    const edge = (index) => (x(trend.at[index - 1]) + x(trend.at[index])) / 2;
    bands(picture, trend, names, edge, x, bottom);
    axisLeft(picture, y, LEFT, width - 8, 5);
    axisOfTime(picture, x, bottom);
    const r = count > 300 ? 1.6 : width < 500 || count > 120 ? 2.6 : 3.6;
    trend.level.forEach((value, index) => {
      const place = x(trend.at[index]);
      picture.append(line(place, y(trend.low[index]), place, y(trend.high[index]), "t-now faint"));
      picture.append(svg("circle", { cx: place.toFixed(1), cy: y(value).toFixed(1), r, class: "f-now" }));
      point(place, y(value), `${moment(trend.at[index])}, ${names[trend.stack[index]]}: ${seconds(value, 4)}`);
    });
    (trend.changes || []).forEach((shift, index) => {
      const place = edge(shift.index);
      const tone = shift.ratio > 1 ? "slower" : "faster";
      picture.append(line(place, 34, place, bottom, `t-${tone} bold`));
      picture.append(svg("circle", { cx: place, cy: 32, r: 9, class: `f-${tone}` }));
      picture.append(text(place, 36, String(index + 1), { "text-anchor": "middle", class: "f-paper" }));
      point(place, 32, shift.text);
    });
    picture.append(
      svg("circle", { cx: x(trend.at[count - 1]), cy: y(trend.level[count - 1]), r: 7, class: "line t-now" }),
    );
  });
}

export function trendFigure(trend, names, name) {
  const shifts = trend.changes || [];
  const found = shifts.length ? "Numbered lines are changes of level." : "No change of level was found.";
  const odd = (trend.odd || []).map((words) => el("p", { class: "notes" }, `${words}.`));
  const changed = (shift) =>
    shift.changed?.length ? `Changed in the stack: ${shift.changed.join(", ")}.` : "No recorded stack change.";
  const list = shifts.length
    ? el("ol", { class: "reasons" }, ...shifts.map((shift) => el("li", {}, `${shift.text}. ${changed(shift)}`)))
    : null;
  const row = (at, i) => [
    moment(at),
    names[trend.stack[i]],
    seconds(trend.level[i], 4),
    `${seconds(trend.low[i])} to ${seconds(trend.high[i])}`,
  ];
  const numbers = { heads: ["Session (UTC)", "Stack", "Median", "Middle half"], rows: () => trend.at.map(row) };
  const caption = [`Medians with the middle half of their rounds; bands are versions of the stack. ${found}`];
  return figure(
    { title: "Sessions and versions", caption, name: `${name}-sessions`, numbers },
    trendPlot(trend, names),
    list,
    ...odd,
  );
}
