// A note on a case: written here it stays in this browser; the command beside it attaches it for everybody.
import { el } from "./elements.js";
import { copyButton } from "./taking.js";

const quoted = (words) => `'${words.replaceAll("'", `'\\''`)}'`;

export const noteCommand = (id, words) => `gaudi-perf note ${id} ${quoted(words.trim())}`;

export function notesOf(id, written = []) {
  const key = `gaudi-perf note ${id}`;
  const area = el("textarea", { rows: 2, placeholder: "Your note", "aria-label": "Your note" });
  try {
    area.value = localStorage.getItem(key) || "";
  } catch {
    /* then nothing is kept */
  }
  const command = el("code", {});
  const show = () => {
    command.textContent = area.value.trim() ? noteCommand(id, area.value) : `gaudi-perf note ${id} "..."`;
  };
  area.addEventListener("input", () => {
    show();
    try {
      if (area.value.trim()) localStorage.setItem(key, area.value);
      else localStorage.removeItem(key);
    } catch {
      /* then it is not kept */
    }
  });
  show();
  const list = written.map(([day, words]) => el("li", {}, el("b", {}, day), ` ${words}`));
  return el(
    "section",
    { class: "noted" },
    el("h2", {}, "Notes"),
    list.length ? el("ul", { class: "reasons" }, ...list) : null,
    el(
      "div",
      { class: "draft" },
      area,
      el(
        "p",
        { class: "notes" },
        "Kept in this browser. For everybody: ",
        command,
        " ",
        copyButton(() => command.textContent, "Copy", "Copy the command"),
      ),
    ),
  );
}
