// What a case was held against: changes with their intervals, an axis for each metric, and the parts of its latency.
import { el, line, scrolling, svg, table, text } from "./elements.js";
import { figure } from "./figure.js";
import { change, interval, reach, scale, seconds } from "./numbers.js";
import { axisBelow, axisPlot, plot } from "./plots.js";

const percents = (values) =>
  values.map((value) => `${value > 1 ? "+" : value < 1 ? "-" : ""}${Number((Math.abs(value - 1) * 100).toFixed(2))} %`);

function bar(one, most) {
  const label = `${change(one.ratio)}, from ${change(one.low)} to ${change(one.high)}`;
  return plot(30, label, (picture, width, height, point) => {
    const x = scale(1 - most, 1 + most, 12, width - 12);
    const inside = (ratio) => Math.min(Math.max(x(ratio), x.from), x.to);
    const [low, high, at] = [inside(one.low), inside(one.high), inside(one.ratio)];
    const zone = { x: inside(1 - one.tolerance), width: inside(1 + one.tolerance) - inside(1 - one.tolerance) };
    picture.append(svg("rect", { ...zone, y: 0, height, class: "f-zone" }), line(x(1), 0, x(1), height, "rule"));
    const row = svg("g", { class: `s-${one.key}` });
    const end = (place, ratio, out) =>
      x(ratio) === place
        ? line(place, 9, place, 21, "t-tone bold")
        : svg("path", { d: `M${place + out * 8} 15l${-out * 8} -6v12Z`, class: "f-tone" });
    row.append(line(low, 15, high, 15, "t-tone bold"), end(low, one.low, -1), end(high, one.high, 1));
    row.append(svg("circle", { cx: at, cy: 15, r: 5, class: "f-tone" }));
    picture.append(row);
    point(at, 15, `${change(one.ratio)} ${interval(one.low, one.high)}`);
  });
}

/** Changes that are judged, by metric; null where nothing was compared. */
export function changesFigure(c) {
  const judged = c.comparisons.filter((one) => one.ratio !== undefined && one.low !== undefined);
  if (!judged.length) return null;
  const metrics = [...new Set(judged.map((one) => one.metric || ""))];
  const parts = metrics.flatMap((metric) => {
    const own = judged.filter((one) => (one.metric || "") === metric);
    const most = reach(own);
    const axis = axisPlot((picture, width) =>
      axisBelow(picture, scale(1 - most, 1 + most, 12, width - 12), 2, percents),
    );
    const rows = own.flatMap((one) => {
      const words = `${one.against}: ${change(one.ratio)} ${interval(one.low, one.high)}`;
      return [el("p", { class: "label" }, words), bar(one, most)];
    });
    return [metrics.length > 1 ? el("h3", {}, metric || "latency") : null, ...rows, axis];
  });
  const numbers = {
    heads: ["Metric", "Against", "Change", "From", "To", "Verdict"],
    rows: () =>
      judged.map((one) => [
        one.metric || "latency",
        one.against,
        change(one.ratio),
        change(one.low),
        change(one.high),
        one.kind,
      ]),
  };
  const caption = [
    "The shaded part is the tolerance; right of the middle is slower (more, of memory). An arrow goes beyond the axis.",
  ];
  return figure({ title: "Change, with its interval", caption, name: `${c.id}-changes`, numbers }, ...parts);
}

/** Metrics that do not decide the test, a row each; their sentences are there for who asks. */
export function othersOf(c) {
  const others = c.comparisons.filter((one) => one.gates === false);
  if (!others.length) return null;
  const rows = others.map((one) => [
    one.metric || "latency",
    one.kind,
    one.ratio === undefined ? "–" : change(one.ratio),
    one.low === undefined ? "–" : interval(one.low, one.high),
    one.against || "–",
    (one.why || [])[0] || "",
  ]);
  const heads = ["Metric", "Verdict", "Change", "Interval", "Against", "Why"];
  return el(
    "section",
    {},
    el("h2", {}, "Metrics that do not decide the test"),
    scrolling("Other metrics", table(heads, rows, { class: "plain compact" })),
  );
}

export function splitFigure(c) {
  if (c.first === undefined || c.per === undefined) return null;
  const before = c.comparisons.find((one) => one.split);
  const rest = (c.new_tokens === undefined ? 100 : c.new_tokens) - 1;
  const rows = [["now", c.first, c.per, "now"]];
  if (before) rows.unshift([before.against, ...before.split, "before"]);
  const most = Math.max(...rows.map(([, first, per]) => first + per * rest));
  const x = (width) => scale(0, most, 6, width - 6);
  const parts = rows.flatMap(([name, first, per, tone]) => {
    const words = `${name}: ${seconds(first)} to the first token, then ${seconds(per)} for each of ${rest}`;
    const drawn = plot(22, words, (picture, width, _height, point) => {
      const at = x(width);
      const [one, end] = [at(first), at(first + per * rest)];
      picture.append(svg("rect", { x: 6, y: 0, height: 18, width: Math.max(one - 6, 1), class: `f-${tone}` }));
      const faint = { x: one + 1.5, y: 0, height: 18, width: Math.max(end - one - 1.5, 0.5), class: `f-${tone} faint` };
      picture.append(svg("rect", faint));
      point((6 + one) / 2, 9, `first token: ${seconds(first)}`);
      point((one + end) / 2, 9, `${rest} tokens: ${seconds(per * rest)}`);
    });
    return [el("p", { class: "label" }, words), drawn];
  });
  const axis = axisPlot((picture, width) => axisBelow(picture, x(width), 2));
  const caption = ["Taken in rounds of their own: full colour until the first token, pale for all that follow."];
  const numbers = {
    heads: ["Side", "First token", "Per output token", "Following tokens"],
    rows: () => rows.map(([name, first, per]) => [name, seconds(first, 4), seconds(per, 4), String(rest)]),
  };
  return figure({ title: "First token, and the rest", caption, name: `${c.id}-tokens`, numbers }, ...parts, axis);
}

export function limitFigure(c) {
  if (!c.limit) return null;
  const drawn = plot(56, c.limit.text, (picture, width, height, point) => {
    const x = scale(0, Math.max(c.latency, c.limit.seconds), 6, width - 6);
    picture.append(svg("rect", { x: 6, y: 4, height: 20, width: x(c.latency) - 6, class: "f-now faint" }));
    picture.append(svg("rect", { x: 6, y: 4, height: 20, width: x(c.limit.seconds) - 6, class: "f-now" }));
    const inside = x(c.limit.seconds) > 120;
    const place = inside ? 12 : x(c.limit.seconds) + 6;
    picture.append(text(place, 19, `limit ${seconds(c.limit.seconds)}`, { class: inside ? "f-paper" : "strong" }));
    point(x(c.latency), 14, `latency ${seconds(c.latency)}`);
    axisBelow(picture, x, height - 26);
  });
  return figure({ title: "Distance from the memory's limit", caption: [c.limit.text], name: `${c.id}-limit` }, drawn);
}
