// The static site: each page says what it is, and has its data as scripts; nothing else is loaded.
import { startCompare } from "./compare.js";
import { el } from "./elements.js";
import { startCaseTable, startSessionList, startTrendPage } from "./listing.js";
import { startTheme } from "./theme.js";

const { kind, up } = document.body.dataset;
const value = JSON.parse(document.getElementById("data").textContent);
const data = window.gaudiPerf || {};

/** A page that cannot be shown says so. */
function missing(words) {
  document.getElementById("view").append(el("p", { class: "lead" }, words));
}

startTheme();
if (kind === "index") startCaseTable(data.index.newest, data, up);
else if (kind === "session") startCaseTable(data[`session/${value}`], data, up);
else if (kind === "trends") startCaseTable(null, data, up);
else if (kind === "trend") startTrendPage(value, data, up);
else if (kind === "sessions") startSessionList(data, up);
else if (kind === "compare") startCompare(data, up);
else missing("This page is of another release of gaudi-perf: make the site again.");
