// Keys: each is a button's or a link's work, too.
import { button, el } from "./elements.js";

let acts = {};
let started = false;

function typing(target) {
  return target.closest?.("input, textarea, select, dialog, [contenteditable]");
}

function help() {
  const rows = Object.entries(acts).map(([key, [words]]) =>
    el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, words)),
  );
  const box = el("dialog", { "aria-label": "Keys", class: "keys-help" }, el("h2", {}, "Keys"), el("dl", {}, ...rows));
  box.append(button("Close", () => box.close()));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

/** Keys and what they do: `{ j: ["next case", act] }`. `?` lists them. */
export function startKeys(own) {
  acts = { ...own, "?": ["this list", help] };
  if (started) return;
  started = true;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const found = acts[event.key];
    if (!found) return;
    event.preventDefault();
    found[1]();
  });
  const opener = document.getElementById("keys-help");
  opener.hidden = false;
  opener.addEventListener("click", help);
}
