// Light or dark: what the reader's system prefers, until they choose.
const KEPT = "gaudi-perf theme";

export function startTheme() {
  const chooser = document.getElementById("theme");
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const name = () => {
    const other = now() === "dark" ? "Light" : "Dark";
    chooser.textContent = other;
    chooser.setAttribute("aria-label", `${other}: show in ${other.toLowerCase()} colours`);
  };
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch {
    /* pages from disk may not keep anything */
  }
  chooser.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEPT, root.dataset.theme);
    } catch {
      /* then it is not kept */
    }
    name();
  });
  dark.addEventListener("change", name);
  chooser.hidden = false;
  name();
}
