// Numbers as people read them, scales and ticks: values in, values out, no document.

/** A duration with three significant digits: 1.07 s, 213 ms, 95.0 µs. */
export function seconds(value, digits = 3) {
  if (value === 0) return "0";
  const units = [
    [1, "s"],
    [1e-3, "ms"],
    [1e-6, "µs"],
  ];
  const [factor, unit] = units.find(([size]) => value >= 0.9995 * size) || units[2];
  const scaled = value / factor;
  const whole = scaled < 9.995 ? 1 : scaled < 99.95 ? 2 : 3;
  return `${scaled.toFixed(Math.max(digits - whole, 0))} ${unit}`;
}

/** A ratio as a change: 1.096 is +9.6 %. */
export function change(ratio) {
  const percent = (ratio - 1) * 100;
  if (percent > 100000) return "over +100000 %";
  const size = Math.abs(percent) < 99.95 ? Math.abs(percent).toFixed(1) : Math.abs(percent).toFixed(0);
  return `${percent < 0 && Number(size) !== 0 ? "-" : "+"}${size} %`;
}

/** An interval of ratios as changes: [+4.1 %, +15.2 %]. */
export const interval = (low, high) => `[${change(low)}, ${change(high)}]`;

export function middle(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** A quantile of sorted values, interpolated. */
export function quantile(sorted, share) {
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  return sorted[below] + (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]) * (place - below);
}

/** Minutes since 1970 as a moment in UTC: 2026-01-31 23:59. */
export const moment = (minutes) => new Date(minutes * 60000).toISOString().slice(0, 16).replace("T", " ");

/** Maps a range of values to a range of pixels. */
export function scale(low, high, from, to) {
  const span = high - low || 1;
  const place = (value) => from + ((value - low) / span) * (to - from);
  return Object.assign(place, { low, high, from, to });
}

export function padded(low, high, share = 0.08) {
  const room = (high - low) * share || Math.abs(high) * 0.02 || 1;
  return [low - room, high + room];
}

/** Round values within a range, about as many as asked for. */
export function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

/** Labels of durations; as many digits as it takes for each to be what it says, and for neighbours to differ. */
export function tickLabels(values) {
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : Math.abs(values[0]);
  const meant = (label) => Number.parseFloat(label) * { s: 1, ms: 1e-3, µs: 1e-6 }[label.split(" ")[1] || "s"];
  for (let digits = 2; digits < 7; digits++) {
    const labels = values.map((value) => seconds(value, digits));
    if (labels.every((label, index) => Math.abs(meant(label) - values[index]) < 0.02 * step)) return labels;
  }
  return values.map((value) => seconds(value, 7));
}

const HOUR = 60;
const DAY = 24 * HOUR;
const STEPS = [1, 5, 15, 30, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY];

/**
 * Times at which an axis has a label, in minutes since 1970, at most as many as asked for, and what they are called:
 * hours within days, days within months, months. No label stands twice.
 */
export function timeTicks(low, high, most) {
  const span = Math.max(high - low, 1);
  const step = STEPS.find((size) => span / size <= most);
  if (!step) return monthTicks(low, high, most);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
  if (!found.length) found.push(low);
  const dates = new Set(found.map((at) => moment(at).split(" ")[0]));
  return found.map((at, index) => {
    const [date, time] = moment(at).split(" ");
    const words = step >= DAY ? date : index && dates.size === 1 ? time : `${date.slice(5)} ${time}`;
    return { at, words };
  });
}

function monthTicks(low, high, most) {
  const months = (minutes) => {
    const date = new Date(minutes * 60000);
    return date.getUTCFullYear() * 12 + date.getUTCMonth();
  };
  const first = months(low);
  const count = months(high) - first;
  const step = [1, 2, 3, 6, 12, 24, 60, 120].find((size) => count / size <= most) || 240;
  const found = [];
  for (let month = Math.ceil(first / step) * step; month <= first + count; month += step) {
    const at = Date.UTC(Math.floor(month / 12), month % 12) / 60000;
    if (at >= low && at <= high) found.push({ at, words: moment(at).slice(0, 7) });
  }
  return found;
}

/** Half the width of an axis of changes: what is judged fills it, and one wild end does not squeeze the rest. */
export function reach(judged) {
  const usual = Math.max(...judged.map((one) => Math.max(2 * one.tolerance, 1.6 * Math.abs(one.ratio - 1))));
  const ends = judged.flatMap((one) => [Math.abs(one.low - 1), Math.abs(one.high - 1)]);
  return Math.min(Math.max(usual, ...ends) * 1.12, Math.max(usual, 0.5));
}

/** Rows as CSV (RFC 4180); a text that a spreadsheet would take for a formula gets an apostrophe. */
export function csv(heads, rows) {
  const cell = (value) => {
    const words = typeof value === "string" && /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : String(value ?? "");
    return /[",\r\n]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words;
  };
  return `${[heads, ...rows].map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}
