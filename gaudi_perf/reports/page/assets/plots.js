// Plots: drawn at the width they have, and again when that changes; values show under the pointer and by the arrow keys.
import { el, line, svg, text } from "./elements.js";
import { tickLabels, ticks, timeTicks } from "./numbers.js";

const NEAR = 28;
const plots = new Map();
const watcher = new ResizeObserver((entries) => {
  for (const entry of entries) redraw(entry.target);
});

/**
 * A plot. `draw(picture, width, height, point)` draws it; `point(x, y, words)` says where a value is and what it is.
 */
export function plot(height, label, draw) {
  const host = el("div", { class: "plot", tabindex: 0, role: "group", "aria-label": label });
  host.style.minHeight = `${height}px`;
  plots.set(host, { width: 0, height, label, draw, points: [], at: -1 });
  watcher.observe(host);
  host.addEventListener("pointermove", (event) => nearest(host, event));
  host.addEventListener("pointerleave", () => show(host, -1));
  host.addEventListener("blur", () => show(host, -1));
  host.addEventListener("keydown", (event) => step(host, event));
  return host;
}

/** An axis by itself, below plots that share it. */
export function axisPlot(draw) {
  const host = plot(26, "", draw);
  for (const name of ["tabindex", "role", "aria-label"]) host.removeAttribute(name);
  host.setAttribute("aria-hidden", "true");
  return host;
}

export function redraw(host, forced) {
  const known = plots.get(host);
  const width = forced || Math.round(host.clientWidth);
  if (!known || !width || width === known.width) return;
  Object.assign(known, { width, points: [], at: -1 });
  const named = known.label ? { role: "img", "aria-label": known.label } : { "aria-hidden": "true" };
  const picture = svg("svg", { viewBox: `0 0 ${width} ${known.height}`, ...named });
  known.draw(picture, width, known.height, (x, y, words) => known.points.push({ x, y, words }));
  known.tip = el("div", { class: "tip", role: "status", hidden: true });
  known.ring = svg("circle", { r: 7, class: "ring", visibility: "hidden" });
  picture.append(known.ring);
  host.replaceChildren(picture, known.tip);
  host.style.minHeight = "";
}

export function forget() {
  for (const host of plots.keys()) watcher.unobserve(host);
  plots.clear();
}

export function forgetWithin(root) {
  for (const host of root.querySelectorAll(".plot")) {
    watcher.unobserve(host);
    plots.delete(host);
  }
}

export function redrawAll(forced) {
  for (const host of plots.keys()) redraw(host, forced);
}

function nearest(host, event) {
  const { points, width } = plots.get(host) || { points: [] };
  const box = host.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * width;
  const y = ((event.clientY - box.top) / box.width) * width;
  let found = -1;
  let least = NEAR;
  points.forEach((point, index) => {
    const away = Math.hypot(point.x - x, (point.y - y) * 0.5);
    if (away < least) [found, least] = [index, away];
  });
  show(host, found);
}

function step(host, event) {
  const known = plots.get(host);
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!known || !by || !known.points.length) return;
  event.preventDefault();
  const count = known.points.length;
  show(host, known.at < 0 ? (by > 0 ? 0 : count - 1) : (known.at + by + count) % count);
}

function show(host, index) {
  const known = plots.get(host);
  if (!known?.tip || index === known.at) return;
  known.at = index;
  known.tip.hidden = index < 0;
  known.ring.setAttribute("visibility", index < 0 ? "hidden" : "visible");
  if (index < 0) return;
  const { x, y, words } = known.points[index];
  known.ring.setAttribute("cx", x);
  known.ring.setAttribute("cy", y);
  known.tip.textContent = words;
  const ratio = host.clientWidth / known.width;
  const room = known.tip.offsetWidth;
  known.tip.style.left = `${Math.min(Math.max(x * ratio - room / 2, 0), host.clientWidth - room)}px`;
  known.tip.style.top = `${y * ratio - known.tip.offsetHeight - 12}px`;
}

export function axisBelow(picture, x, y, labels = tickLabels) {
  const marks = ticks(x.low, x.high, Math.max(2, Math.floor((x.to - x.from) / 90)));
  const names = labels(marks);
  picture.append(line(x.from, y, x.to, y, "axis"));
  marks.forEach((value, index) => {
    const anchor = x(value) < x.from + 20 ? "start" : x(value) > x.to - 20 ? "end" : "middle";
    picture.append(
      line(x(value), y, x(value), y + 4, "axis"),
      text(x(value), y + 17, names[index], { "text-anchor": anchor }),
    );
  });
}

export function axisLeft(picture, y, from, to, count = 4) {
  const marks = ticks(Math.min(y.low, y.high), Math.max(y.high, y.low), count);
  const names = tickLabels(marks);
  marks.forEach((value, index) => {
    picture.append(line(from, y(value), to, y(value), "axis"));
    picture.append(text(from - 8, y(value) + 4, names[index], { "text-anchor": "end" }));
  });
}

/** An axis of time, in minutes since 1970; a label that would run into the one before is left out. */
export function axisOfTime(picture, x, y) {
  let free = 0;
  for (const { at, words } of timeTicks(x.low, x.high, Math.max(1, Math.floor((x.to - x.from) / 96)))) {
    const room = words.length * 6.8;
    const left = Math.min(Math.max(x(at) - room / 2, x.from - 30), x.to - room);
    picture.append(line(x(at), y, x(at), y + 4, "axis"));
    if (left >= free) {
      picture.append(text(left, y + 18, words));
      free = left + room + 8;
    }
  }
}
