// A figure with what belongs to it: title, caption, buttons to take it along, and its numbers.
import { button, el, scrolling, table } from "./elements.js";
import { csv } from "./numbers.js";
import { copyButton, save, savePicture } from "./taking.js";

/**
 * A figure. `numbers` is `{ heads, rows }`, rows made when they are asked for, listed by default; `name` is for files.
 */
export function figure({ title, caption = [], name, numbers, listed = true, open = false }, ...children) {
  const made = el("figure", { "aria-label": title });
  const tools = el("span", { class: "take" });
  if (children.some((child) => child?.classList.contains("plot"))) {
    const take = () => savePicture(made, title, name);
    tools.append(button("PNG", take, { class: "quiet", "aria-label": `${title}: save as PNG` }));
  }
  if (numbers) {
    const asText = () => csv(numbers.heads, numbers.rows());
    const take = () => save(`${name}.csv`, new Blob([asText()], { type: "text/csv" }));
    tools.append(button("CSV", take, { class: "quiet", "aria-label": `${title}: save the numbers as CSV` }));
    tools.append(copyButton(asText, "Copy", `${title}: copy the numbers`));
  }
  const heading = el("div", { class: "heading" }, el("h2", {}, title), tools);
  made.append(heading);
  if (caption.length) made.append(el("figcaption", {}, ...caption));
  made.append(...children.filter(Boolean));
  if (numbers && listed) made.append(numbersOf(title, numbers, open));
  return made;
}

function numbersOf(title, { heads, rows }, open) {
  const box = el("details", { open }, el("summary", {}, "Numbers"));
  const fill = () => {
    if (box.children.length < 2) box.append(scrolling(`${title}: numbers`, table(heads, rows())));
  };
  if (open) fill();
  box.addEventListener("toggle", fill);
  return box;
}
