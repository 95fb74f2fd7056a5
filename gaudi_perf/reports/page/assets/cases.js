// The rows of cases: filtered, sorted, walked through by keys; the address says how.
import { parse, written } from "./address.js";
import { button } from "./elements.js";

/** What a case can come to that needs a look. */
export const LOOK = ["failed", "invalid", "regressed", "waived"];

/**
 * Rows that match words and verdicts, in order. `cases` have `id`, `state` and the values by which they are sorted;
 * what is not known comes last, whichever way it is sorted.
 */
export function ordered(cases, { filter, states, key, up }) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const sign = up ? 1 : -1;
  const compare = (a, b) => {
    const [one, other] = [cases[a][key], cases[b][key]];
    if (one === other) return a - b;
    if (one === undefined || one === null) return 1;
    if (other === undefined || other === null) return -1;
    return (one < other ? -1 : 1) * sign;
  };
  const all = cases.map((_, index) => index).sort(compare);
  const fits = (c) => (!states.length || states.includes(c.state)) && words.every((word) => c.searched.includes(word));
  return { all, visible: all.filter((index) => fits(cases[index])) };
}

const upFirst = (key) => key === "severity" || key === "id";

/** A table of cases; `changed` is called with those that are visible. */
export class CaseList {
  constructor(cases, changed) {
    this.cases = cases;
    this.changed = changed;
    this.body = document.querySelector("#table tbody");
    this.rows = [...this.body.rows];
    this.filter = document.getElementById("filter");
    this.sorter = document.getElementById("sort");
    this.order = { filter: "", states: [], key: "severity", up: true };
    this.standing = this.visible = cases.map((_, index) => index);
  }

  start() {
    for (const head of document.querySelectorAll("#table th[data-key]")) {
      const { key } = head.dataset;
      const act = () => this.set({ key, up: this.order.key === key ? !this.order.up : upFirst(key) });
      head.replaceChildren(button(head.textContent, act));
    }
    const tools = document.getElementById("tools");
    tools.hidden = false;
    tools.addEventListener("submit", (event) => event.preventDefault());
    this.filter.addEventListener("input", () => this.set({ filter: this.filter.value }));
    this.sorter.addEventListener("change", () => this.set({ key: this.sorter.value, up: upFirst(this.sorter.value) }));
    for (const one of document.querySelectorAll(".count")) {
      one.addEventListener("click", () => this.toggle(one.dataset.state));
    }
    document.getElementById("clear").addEventListener("click", () => {
      this.set({ filter: "", states: [] });
      this.filter.focus();
    });
    this.read();
  }

  /** Take the order from the address; one of a case alone leaves it as it is. */
  read() {
    const { id, filter, states, key, up } = parse(location.hash);
    if (!id || location.hash.includes("?")) this.order = { filter, states, key, up };
    if (this.filter.value !== this.order.filter) this.filter.value = this.order.filter;
    this.show();
  }

  toggle(state) {
    const { states } = this.order;
    this.set({ states: states.includes(state) ? states.filter((one) => one !== state) : [...states, state] });
  }

  /** Change the order, and the address with it. */
  set(change) {
    Object.assign(this.order, change);
    if (this.filter.value !== this.order.filter) this.filter.value = this.order.filter;
    history.replaceState(null, "", this.address(parse(location.hash).id));
    this.show();
  }

  /** The address of a case, or of all, in this order. */
  address(id = "") {
    return written({ id, ...this.order });
  }

  show() {
    const { all, visible } = ordered(this.cases, this.order);
    this.visible = visible;
    const shown = new Set(visible);
    this.rows.forEach((row, index) => {
      row.hidden = !shown.has(index);
    });
    if (all.some((index, place) => index !== this.standing[place])) {
      this.body.append(...all.map((index) => this.rows[index]));
      this.standing = all;
    }
    document.getElementById("shown").textContent = `${visible.length} of ${this.cases.length} cases`;
    document.getElementById("none").hidden = visible.length > 0;
    for (const head of document.querySelectorAll("#table th[data-key]")) {
      if (head.dataset.key === this.order.key)
        head.setAttribute("aria-sort", this.order.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    this.sorter.value = this.order.key;
    for (const one of document.querySelectorAll(".count")) {
      one.setAttribute("aria-pressed", String(this.order.states.includes(one.dataset.state)));
    }
    this.changed(visible);
  }

  /** Move the focus to the next row that is visible, or to that before. */
  walk(by, wanted = () => true) {
    const links = this.visible
      .filter((index) => wanted(this.cases[index]))
      .map((index) => this.rows[index].querySelector("a"));
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
    links[next].focus();
    links[next].scrollIntoView({ block: "nearest" });
  }
}
