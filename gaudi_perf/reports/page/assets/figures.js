// The figures of a case but for its trend: rounds over time, distributions, ratios, first token and the rest.
function legend(...items) {
  return items.map(([shape, words]) => el("span", { class: "legend" }, svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, shape), words));
}
const dot = (kind, r = 3.4) => svg("circle", { cx: 7, cy: 7, r, class: kind });

function roundsPlot(c) {
  const level = (c.comparisons.find((one) => one.level) || {}).level;
  const kept = c.rounds.flatMap((run) => run.kept), warm = c.rounds.flatMap((run) => run.warm || []);
  const total = kept.length + warm.length;
  const label = `${kept.length} rounds of ${c.rounds.length} ${c.rounds.length === 1 ? "run" : "runs"} after ${warm.length} of warm-up; median ${seconds(c.latency)}`;
  return plot(250, label, (picture, width, height) => {
    const low = Math.min(...kept, level || Infinity), high = Math.max(...kept, level || 0);
    const room = Math.max((high - low) * 0.7, high * 0.02);
    const inside = warm.filter((value) => value <= high + room && value >= low - room);
    const y = scale(...padded(Math.min(low, ...inside), Math.max(high, ...inside)), height - 24, 26);
    const gap = 1.5, x = scale(-0.8, total + gap * (c.rounds.length - 1) - 0.2, 62, width - 8), r = total > 150 ? 2.2 : 3.4;
    axisLeft(picture, y, 62, width - 8);
    let at = 0;
    c.rounds.forEach((run, index) => {
      const warmUp = run.warm || [], start = at, counted = at + warmUp.length, end = counted + run.kept.length;
      if (run.steady !== false) picture.append(svg("rect", { x: x(counted - 0.5), width: x(end - 0.5) - x(counted - 0.5), y: 26, height: height - 50, class: "f-steady" }));
      if (x(end) - x(start) > 44) picture.append(text(x(start - 0.5), height - 6, `run ${index + 1}`));
      const centre = y(middle(run.kept));
      picture.append(titled(line(x(counted - 0.5), centre, x(end - 0.5), centre, "t-now bold"), `median of run ${index + 1}: ${seconds(middle(run.kept))}`));
      warmUp.forEach((value, k) => picture.append(round(x(start + k), value, y, "f-none", r, `warm-up ${k + 1}: ${seconds(value, 4)}`)));
      run.kept.forEach((value, k) => picture.append(round(x(counted + k), value, y, "f-now see", r, `run ${index + 1}, round ${k + 1}: ${seconds(value, 4)}`)));
      at = end + gap;
    });
    if (level) picture.append(titled(line(62, y(level), width - 8, y(level), "t-before bold dash"), `baseline ${seconds(level)}`));
  });
}
// Rounds outside of the plot (the first of a warm-up takes many times as long) stand at its edge as triangles.
function round(x, value, y, kind, r, words) {
  if (value > y.high) return titled(svg("path", { d: `M${x} ${y.to - 10}l4 7h-8Z`, class: kind }), `${words}, beyond the plot`);
  return titled(svg("circle", { cx: x.toFixed(1), cy: y(Math.max(value, y.low)).toFixed(1), r, class: kind }), words);
}

function distributionPlot(c) {
  const before = c.comparisons.find((one) => one.runs && one.runs.length), published = !before && c.comparisons.find((one) => one.level);
  const rows = [["now", c.rounds.map((run) => run.kept), "now"]];
  if (before) rows.unshift([before.against, before.runs, "before"]);
  const all = rows.flatMap((row) => row[1].flat());
  if (published) all.push(published.level);
  return plot(rows.length * 74 + 34, `distribution of rounds: ${rows.map((row) => `${row[0]} median ${seconds(middle(row[1].map(middle)))}`).join("; ")}`, (picture, width, height) => {
    const x = scale(...padded(Math.min(...all), Math.max(...all), 0.04), 6, width - 6);
    rows.forEach(([name, runs, tone], index) => {
      const top = index * 74, sorted = runs.flat().sort((a, b) => a - b), centre = top + 46;
      picture.append(text(x.from, top + 16, name, { class: "strong" }));
      const left = x(quantile(sorted, 0.25)), right = x(quantile(sorted, 0.75));
      picture.append(svg("rect", { x: left, width: Math.max(right - left, 1), y: centre - 20, height: 40, rx: 3, class: `f-${tone} faint` }));
      sorted.forEach((value, k) => picture.append(svg("circle", { cx: x(value).toFixed(1), cy: (centre + (((k * 7919) % 17) / 16 - 0.5) * 30).toFixed(1), r: sorted.length > 150 ? 2 : 2.8, class: `f-${tone} see` })));
      const level = x(middle(runs.map(middle)));
      picture.append(line(level, centre - 24, level, centre + 24, `t-${tone} bold`));
      if (runs.length > 1) runs.forEach((run, k) => picture.append(titled(diamond(+x(middle(run)).toFixed(1), centre + 25, 4, `f-${tone}`), `median of run ${k + 1}: ${seconds(middle(run), 4)}`)));
    });
    if (published) picture.append(titled(line(x(published.level), 20, x(published.level), height - 28, "t-before bold dash"), `${published.against}: ${seconds(published.level)}`));
    axisBelow(picture, x, height - 24);
  });
}

function ratioPlot(c) {
  const judged = c.comparisons.filter((one) => one.ratio !== undefined && one.low !== undefined);
  if (!judged.length) return null;
  const most = Math.max(...judged.flatMap((one) => [2 * one.tolerance, Math.abs(one.low - 1), Math.abs(one.high - 1)])) * 1.12;
  return plot(judged.length * 52 + 32, judged.map((one) => `${one.against}: ${change(one.ratio)}, from ${change(one.low)} to ${change(one.high)}`).join("; "), (picture, width, height) => {
    const x = scale(1 - most, 1 + most, 12, width - 12);
    const zone = (t, y) => svg("rect", { x: x(1 - t), width: x(1 + t) - x(1 - t), y, height: 32, class: "f-zone" });
    picture.append(...judged.map((one, index) => zone(one.tolerance, index * 52 + 22)), line(x(1), 20, x(1), height - 28, "rule"));
    judged.forEach((one, index) => {
      const y = index * 52 + 38, tone = one.key;
      const row = svg("g", { class: `s-${tone}` });
      row.append(text(x.from, y - 22, `${one.metric ? `${one.metric}, ` : ""}${one.against}: ${change(one.ratio)} [${change(one.low)}, ${change(one.high)}]`, { class: "strong" }));
      row.append(line(x(one.low), y, x(one.high), y, "t-tone bold"), line(x(one.low), y - 6, x(one.low), y + 6, "t-tone bold"), line(x(one.high), y - 6, x(one.high), y + 6, "t-tone bold"), svg("circle", { cx: x(one.ratio), cy: y, r: 5, class: "f-tone" }));
      picture.append(row);
    });
    axisBelow(picture, x, height - 24, (values) => values.map((value) => `${value > 1 ? "+" : value < 1 ? "-" : ""}${Number((Math.abs(value - 1) * 100).toFixed(2))} %`));
  });
}

function splitPlot(c) {
  if (c.first === undefined || c.per === undefined) return null;
  const before = c.comparisons.find((one) => one.split), rest = (c.new_tokens === undefined ? 100 : c.new_tokens) - 1;
  const rows = [["now", c.first, c.per, "now"]];
  if (before) rows.unshift([before.against, ...before.split, "before"]);
  const words = ([name, first, per]) => `${name}: ${seconds(first)} to the first token, then ${seconds(per)} for each of ${rest}`;
  return plot(rows.length * 50 + 30, rows.map(words).join("; "), (picture, width, height) => {
    const x = scale(0, Math.max(...rows.map(([, first, per]) => first + per * rest)), 6, width - 6);
    rows.forEach(([name, first, per, tone], index) => {
      const y = index * 50;
      picture.append(text(6, y + 14, width < 480 ? `${name}: ${seconds(first)} + ${rest} × ${seconds(per)}` : words([name, first, per]), { class: "strong" }));
      picture.append(svg("rect", { x: 6, y: y + 22, height: 18, width: Math.max(x(first) - 6, 1), class: `f-${tone}` }), svg("rect", { x: x(first) + 1.5, y: y + 22, height: 18, width: Math.max(x(first + per * rest) - x(first) - 1.5, 0.5), class: `f-${tone} faint` }));
    });
    axisBelow(picture, x, height - 22);
  });
}

function limitPlot(c) {
  return plot(70, c.limit.text, (picture, width, height) => {
    const x = scale(0, Math.max(c.latency, c.limit.seconds), 6, width - 6);
    picture.append(svg("rect", { x: 6, y: 8, height: 20, width: x(c.latency) - 6, class: "f-now faint" }), svg("rect", { x: 6, y: 8, height: 20, width: x(c.limit.seconds) - 6, class: "f-now" }));
    const inside = x(c.limit.seconds) > 120;
    picture.append(text(inside ? 12 : x(c.limit.seconds) + 6, 23, `limit ${seconds(c.limit.seconds)}`, { class: inside ? "f-paper" : "strong" }));
    axisBelow(picture, x, height - 26);
  });
}
