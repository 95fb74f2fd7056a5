// Elements of HTML and SVG. Text is only ever set as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) {
    if (child === null || child === undefined) continue;
    // A percent sign does not begin a line.
    node.append(typeof child === "string" ? child.replaceAll(" %", "\u00a0%") : child);
  }
  return node;
}

export const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
export const text = (x, y, words, attributes) => svg("text", { x, y, ...attributes }, words);

export function line(x1, y1, x2, y2, kind) {
  const d = `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`;
  return svg("path", { d, class: `line ${kind}` });
}

export const diamond = (x, y, r, kind) =>
  svg("path", { d: `M${x} ${y - r}l${r} ${r}-${r} ${r}-${r} -${r}Z`, class: kind });
export const dot = (kind, r = 3.4) => svg("circle", { cx: 7, cy: 7, r, class: kind });

/** The shape of a verdict. */
export function mark(key) {
  const shape = svg("use", { href: `#m-${key}` });
  return svg("svg", { class: `mark s-${key}`, width: 14, height: 14, "aria-hidden": "true" }, shape);
}

/** Shapes and what they mean, in a line. */
export function legend(...items) {
  return items.map(([shape, words]) => {
    const picture = svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, shape);
    return el("span", { class: "legend" }, picture, words);
  });
}

export function button(words, act, attributes) {
  const made = el("button", { type: "button", ...attributes }, words);
  made.addEventListener("click", () => act(made));
  return made;
}

/** A table; a row is a list of cells, each a text or an element. */
export function table(heads, rows, attributes) {
  const head = el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)));
  const body = rows.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, cell))));
  return el("table", { class: "plain", ...attributes }, el("thead", {}, head), el("tbody", {}, ...body));
}

/** What does not fit scrolls within itself, also by the keyboard. */
export function scrolling(name, child) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, child);
}
