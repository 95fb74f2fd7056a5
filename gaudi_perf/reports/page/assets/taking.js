// What readers take along: the clipboard, files, pictures.
import { button } from "./elements.js";

const DRAWN = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "opacity",
  "font-size",
  "font-weight",
  "font-family",
  "text-anchor",
];

/** Put a text on the clipboard; where a page from disk may not, by the way of older browsers. */
export async function copy(words, pressed) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    const area = document.createElement("textarea");
    area.value = words;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = pressed.textContent;
  pressed.textContent = "Copied";
  setTimeout(() => {
    pressed.textContent = before;
  }, 1200);
}

export const copyButton = (words, what, about) =>
  button(what, (pressed) => copy(typeof words === "function" ? words() : words, pressed), {
    class: "quiet",
    "aria-label": about,
  });

/** Hand a file to the reader. */
export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** A drawing as a picture: what style sheets say of it is written into a copy. */
async function pictured(drawing) {
  const { width, height } = drawing.getBoundingClientRect();
  const copied = drawing.cloneNode(true);
  const shown = [drawing, ...drawing.querySelectorAll("*")];
  [copied, ...copied.querySelectorAll("*")].forEach((node, index) => {
    const style = getComputedStyle(shown[index]);
    for (const property of DRAWN) node.setAttribute(property, style.getPropertyValue(property));
  });
  copied.setAttribute("width", width);
  copied.setAttribute("height", height);
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copied))}`;
  await image.decode();
  return image;
}

const LINE = 22;

/** A figure as PNG, twice as large as it is shown: its title, its labels and its drawings below each other. */
export async function savePicture(figure, title, name) {
  const parts = [title];
  for (const node of figure.querySelectorAll("h3, .label, .plot > svg")) {
    parts.push(node.tagName === "svg" ? await pictured(node) : node.textContent);
  }
  const size = (part) => (typeof part === "string" ? LINE : part.height);
  const canvas = document.createElement("canvas");
  canvas.width = 2 * figure.clientWidth;
  canvas.height = 2 * (parts.reduce((sum, part) => sum + size(part), 0) + LINE);
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  const style = getComputedStyle(document.body);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = style.color;
  context.font = `600 14px ${style.fontFamily}`;
  let y = 0;
  for (const part of parts) {
    if (typeof part === "string") context.fillText(part, 6, y + 16);
    else context.drawImage(part, 0, y, part.width, part.height);
    y += size(part);
  }
  const blob = await new Promise((done) => {
    canvas.toBlob(done, "image/png");
  });
  save(`${name}.png`, blob);
}
