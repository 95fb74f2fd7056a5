// The rounds of a case: in order, and beside those of its baseline.
import { diamond, dot, el, legend, line, svg, text } from "./elements.js";
import { figure } from "./figure.js";
import { middle, padded, quantile, scale, seconds } from "./numbers.js";
import { axisBelow, axisLeft, axisPlot, plot } from "./plots.js";

const LEFT = 62;
const levelOf = (c) => c.comparisons.find((one) => one.level)?.level;

/** Rounds outside of the plot (the first of a warm-up takes many times as long) stand at its edge as triangles. */
function round(x, value, y, kind, r) {
  if (value > y.high) return svg("path", { d: `M${x} ${y.to - 10}l4 7h-8Z`, class: kind });
  return svg("circle", { cx: x.toFixed(1), cy: y(Math.max(value, y.low)).toFixed(1), r, class: kind });
}

function roundsPlot(c) {
  const level = levelOf(c);
  const kept = c.rounds.flatMap((run) => run.kept);
  const warm = c.rounds.flatMap((run) => run.warm || []);
  const total = kept.length + warm.length;
  const runs = `${c.rounds.length} ${c.rounds.length === 1 ? "run" : "runs"}`;
  const label = `${kept.length} rounds of ${runs} after ${warm.length} of warm-up; median ${seconds(c.latency)}`;
  return plot(250, label, (picture, width, height, point) => {
    const low = Math.min(...kept, level || Infinity);
    const high = Math.max(...kept, level || 0);
    const room = Math.max((high - low) * 0.7, high * 0.02);
    const inside = warm.filter((value) => value <= high + room && value >= low - room);
    const y = scale(...padded(Math.min(low, ...inside), Math.max(high, ...inside)), height - 24, 26);
    const gap = 1.5;
    const x = scale(-0.8, total + gap * (c.rounds.length - 1) - 0.2, LEFT, width - 8);
    const r = total > 150 ? 2.2 : 3.4;
    axisLeft(picture, y, LEFT, width - 8);
    let at = 0;
    c.rounds.forEach((run, index) => {
      const warmUp = run.warm || [];
      const start = at;
      const counted = at + warmUp.length;
      const end = counted + run.kept.length;
      const [from, to] = [x(counted - 0.5), x(end - 0.5)];
      if (run.steady !== false) {
        picture.append(svg("rect", { x: from, width: to - from, y: 26, height: height - 50, class: "f-steady" }));
      }
      if (x(end) - x(start) > 44) picture.append(text(x(start - 0.5), height - 6, `run ${index + 1}`));
      const centre = y(middle(run.kept));
      picture.append(line(from, centre, to, centre, "t-now bold"));
      const show = (value, k, kind, words) => {
        picture.append(round(x(k), value, y, kind, r));
        point(x(k), value > y.high ? y.to - 7 : y(Math.max(value, y.low)), `${words}: ${seconds(value, 4)}`);
      };
      for (const [k, value] of warmUp.entries()) show(value, start + k, "f-none", `run ${index + 1}, warm-up ${k + 1}`);
      for (const [k, value] of run.kept.entries())
        show(value, counted + k, "f-now see", `run ${index + 1}, round ${k + 1}`);
      at = end + gap;
    });
    if (level) picture.append(line(LEFT, y(level), width - 8, y(level), "t-before bold dash"));
  });
}

export function roundsFigure(c) {
  const steady = svg("rect", { width: 14, height: 14, class: "f-steady" });
  const caption = legend(
    [dot("f-none"), "warm-up"],
    [dot("f-now see"), "rounds that count"],
    [steady, "steady"],
    ...(levelOf(c) ? [[line(0, 7, 14, 7, "t-before bold dash"), "baseline's level"]] : []),
  );
  const all = (values) => (values || []).map((value) => seconds(value)).join(", ");
  const numbers = {
    heads: ["Run", "Started (UTC)", "Warm-up", "Rounds that count"],
    rows: () => c.rounds.map((run, k) => [String(k + 1), run.at, all(run.warm), all(run.kept)]),
  };
  return figure({ title: "Rounds, in order", caption, name: `${c.id}-rounds`, numbers }, roundsPlot(c));
}

function strip(runs, tone, x, published) {
  const sorted = runs.flat().sort((a, b) => a - b);
  return plot(62, `median ${seconds(middle(runs.map(middle)))}`, (picture, width, height, point) => {
    const at = x(width);
    const centre = 28;
    const [left, right] = [at(quantile(sorted, 0.25)), at(quantile(sorted, 0.75))];
    const box = { x: left, width: Math.max(right - left, 1), y: centre - 20, height: 40, rx: 3 };
    picture.append(svg("rect", { ...box, class: `f-${tone} faint` }));
    const r = sorted.length > 150 ? 2 : 2.8;
    sorted.forEach((value, k) => {
      const cy = centre + (((k * 7919) % 17) / 16 - 0.5) * 30;
      picture.append(svg("circle", { cx: at(value).toFixed(1), cy: cy.toFixed(1), r, class: `f-${tone} see` }));
      point(at(value), cy, `round of ${seconds(value, 4)}`);
    });
    const level = at(middle(runs.map(middle)));
    picture.append(line(level, centre - 24, level, centre + 24, `t-${tone} bold`));
    if (runs.length > 1) {
      runs.forEach((run, k) => {
        const place = at(middle(run));
        picture.append(diamond(Number(place.toFixed(1)), centre + 26, 4, `f-${tone}`));
        point(place, centre + 26, `median of run ${k + 1}: ${seconds(middle(run), 4)}`);
      });
    }
    if (published) picture.append(line(at(published), 0, at(published), height, "t-before bold dash"));
  });
}

export function distributionFigure(c) {
  const before = c.comparisons.find((one) => one.runs?.length);
  const published = before ? undefined : c.comparisons.find((one) => one.level);
  const rows = [["now", c.rounds.map((run) => run.kept), "now"]];
  if (before) rows.unshift([before.against, before.runs, "before"]);
  const all = rows.flatMap((row) => row[1].flat());
  if (published) all.push(published.level);
  const range = padded(Math.min(...all), Math.max(...all), 0.04);
  const x = (width) => scale(...range, 6, width - 6);
  const axis = axisPlot((picture, width) => axisBelow(picture, x(width), 2));
  const parts = rows.flatMap(([name, runs, tone]) => [
    el("p", { class: "label" }, `${name}: median ${seconds(middle(runs.map(middle)))}`),
    strip(runs, tone, x, published?.level),
  ]);
  if (published)
    parts.unshift(el("p", { class: "label" }, `dashed: ${published.against}, ${seconds(published.level)}`));
  const numbers = {
    heads: ["Side", "Run", "Rounds"],
    rows: () =>
      rows.flatMap(([name, runs]) =>
        runs.map((run, k) => [name, String(k + 1), run.map((value) => seconds(value, 4)).join(", ")]),
      ),
  };
  const caption = [
    "Each dot is a round, the box holds the middle half, the line is the median, diamonds are the medians of runs.",
  ];
  return figure(
    { title: "This session and the baseline", caption, name: `${c.id}-distribution`, numbers },
    ...parts,
    axis,
  );
}
