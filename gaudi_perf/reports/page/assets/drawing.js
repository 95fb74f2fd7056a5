// Drawing: elements, numbers as people read them, scales and axes. Text is only ever set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) node.setAttribute(name, value);
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

function seconds(value, digits = 3) {
  if (value === 0) return "0";
  const [factor, unit] = value >= 0.9995 ? [1, "s"] : value >= 0.0009995 ? [1e-3, "ms"] : [1e-6, "µs"];
  const scaled = value / factor;
  const whole = scaled < 9.995 ? 1 : scaled < 99.95 ? 2 : 3;
  return `${scaled.toFixed(Math.max(digits - whole, 0))} ${unit}`;
}
function change(ratio) {
  const percent = (ratio - 1) * 100;
  if (percent > 100000) return "over +100000 %";
  const text = Math.abs(percent) < 99.95 ? Math.abs(percent).toFixed(1) : Math.abs(percent).toFixed(0);
  return `${percent < 0 && Number(text) !== 0 ? "-" : "+"}${text} %`;
}
function middle(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
function quantile(sorted, share) {
  const place = (sorted.length - 1) * share, below = Math.floor(place);
  return sorted[below] + (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]) * (place - below);
}
const moment = (minutes) => new Date(minutes * 60000).toISOString().slice(0, 16).replace("T", " ");

// Maps a range of values to a range of pixels.
function scale(low, high, from, to) {
  const span = high - low || 1;
  const place = (value) => from + ((value - low) / span) * (to - from);
  return Object.assign(place, { low, high, from, to });
}
function padded(low, high, share = 0.08) {
  const room = (high - low) * share || Math.abs(high) * 0.02 || 1;
  return [low - room, high + room];
}
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}
// Labels of neighbouring ticks must differ: as many digits as that takes.
function tickLabels(values) {
  for (let digits = 2; digits < 7; digits++) {
    const labels = values.map((value) => seconds(value, digits));
    if (new Set(labels).size === labels.length) return labels;
  }
  return values.map((value) => seconds(value, 7));
}
const text = (x, y, words, attributes) => svg("text", { x, y, ...attributes }, words);
const line = (x1, y1, x2, y2, kind) => svg("path", { d: `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`, class: `line ${kind}` });
const titled = (node, words) => (node.append(svg("title", {}, words)), node);

// A plot that is drawn at the width it has, and again when that changes.
const plots = new Map();
const watcher = new ResizeObserver((entries) => { for (const entry of entries) redraw(entry.target); });
function plot(height, label, draw) {
  const host = el("div", { class: "plot" });
  host.style.minHeight = `${height}px`;
  plots.set(host, { width: 0, height, label, draw });
  watcher.observe(host);
  return host;
}
function redraw(host, forced) {
  const known = plots.get(host), width = forced || Math.round(host.clientWidth);
  if (!known || !width || width === known.width) return;
  known.width = width;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${known.height}`, role: "img", "aria-label": known.label });
  known.draw(picture, width, known.height);
  host.replaceChildren(picture);
  host.style.minHeight = "";
}
function forget() { for (const host of plots.keys()) watcher.unobserve(host); plots.clear(); }

function axisBelow(picture, x, y, labels = tickLabels) {
  const marks = ticks(x.low, x.high, Math.max(2, Math.floor((x.to - x.from) / 90))), names = labels(marks);
  picture.append(line(x.from, y, x.to, y, "axis"));
  marks.forEach((value, index) => picture.append(line(x(value), y, x(value), y + 4, "axis"), text(x(value), y + 17, names[index], { "text-anchor": "middle" })));
}
function axisLeft(picture, y, from, to, count = 4) {
  const marks = ticks(y.high < y.low ? y.high : y.low, Math.max(y.high, y.low), count), names = tickLabels(marks);
  marks.forEach((value, index) => picture.append(line(from, y(value), to, y(value), "axis"), text(from - 8, y(value) + 4, names[index], { "text-anchor": "end" })));
}
const diamond = (x, y, r, kind) => svg("path", { d: `M${x} ${y - r}l${r} ${r}-${r} ${r}-${r} -${r}Z`, class: kind });
