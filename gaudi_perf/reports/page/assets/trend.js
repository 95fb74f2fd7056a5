// The trend of a case over sessions and versions, small beside its row and large on its own page.
function sparkline(host, c) {
  const t = c.trend, width = host.tagName === "TD" ? 112 : Math.min(host.clientWidth || 300, 600), height = host.tagName === "TD" ? 28 : 44;
  if (!t || t.level.length < 2) return;
  const y = scale(...padded(Math.min(...t.level), Math.max(...t.level)), height - 3, 3), x = scale(0, t.level.length - 1, 3, width - 5);
  const picture = svg("svg", { width, height, "aria-hidden": "true" });
  picture.append(svg("path", { d: t.level.map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join(""), class: "line t-soft" }));
  for (const shift of t.changes || []) picture.append(line(x(shift.index), 0, x(shift.index), height, shift.ratio > 1 ? "t-slower" : "t-faster"));
  picture.append(svg("circle", { cx: x(t.level.length - 1), cy: y(t.level[t.level.length - 1]), r: 2.8, class: "f-now" }));
  host.replaceChildren(picture);
}

// Stretches of sessions on the same stack.
function stretches(t) {
  const found = [];
  t.stack.forEach((stack, index) => {
    const last = found[found.length - 1];
    if (last && last.stack === stack) last.end = index; else found.push({ stack, start: index, end: index });
  });
  return found;
}

function trendPlot(c) {
  const t = c.trend;
  return plot(300, `latency over ${t.level.length} sessions, from ${moment(t.at[0])} to ${moment(t.at[t.at.length - 1])}; the numbers stand below`, (picture, width, height) => {
    const top = 44, bottom = height - 26;
    const y = scale(...padded(Math.min(...t.low), Math.max(...t.high)), bottom, top);
    const spaced = t.at[t.at.length - 1] - t.at[0] || 1, x = scale(t.at[0] - spaced * 0.015, t.at[t.at.length - 1] + spaced * 0.02, 62, width - 8);
    const parts = stretches(t), edge = (index) => (x(t.at[index - 1]) + x(t.at[index])) / 2;
    let free = 0;
    parts.forEach((part, index) => {
      const from = part.start ? edge(part.start) : x.from, to = part.end < t.at.length - 1 ? edge(part.end + 1) : x.to, name = data.stacks[part.stack];
      if (index % 2) picture.append(svg("rect", { x: from, width: to - from, y: 22, height: bottom - 22, class: "f-wash" }));
      const short = name.replace(/^[a-z]+-/, ""), words = [name, short].find((one) => one.length * 7 + 6 < Math.max(to - from, index === parts.length - 1 ? 0 : 40));
      if (words && from + 3 >= free) { picture.append(text(from + 3, 14, words)); free = from + 3 + words.length * 7 + 4; }
    });
    axisLeft(picture, y, 62, width - 8, 5);
    const names = Math.max(2, Math.floor((width - 70) / 110));
    for (let k = 0; k <= names; k++) {
      const at = t.at[0] + (spaced * k) / names;
      picture.append(text(x(at), height - 8, moment(at).slice(0, 10), { "text-anchor": k === 0 ? "start" : k === names ? "end" : "middle" }));
    }
    t.level.forEach((value, index) => {
      const place = x(t.at[index]);
      picture.append(line(place, y(t.low[index]), place, y(t.high[index]), "t-now faint"));
      picture.append(titled(svg("circle", { cx: place.toFixed(1), cy: y(value).toFixed(1), r: width < 500 ? 2.6 : 3.6, class: "f-now" }), `${moment(t.at[index])}, ${data.stacks[t.stack[index]]}: ${seconds(value, 4)}`));
    });
    (t.changes || []).forEach((shift, index) => {
      const place = edge(shift.index), tone = shift.ratio > 1 ? "slower" : "faster";
      picture.append(line(place, 34, place, bottom, `t-${tone} bold`), svg("circle", { cx: place, cy: 32, r: 9, class: `f-${tone}` }), text(place, 36, String(index + 1), { "text-anchor": "middle", class: "f-paper" }));
    });
    picture.append(svg("circle", { cx: x(t.at[t.at.length - 1]), cy: y(t.level[t.level.length - 1]), r: 7, class: "line t-now" }));
  });
}
