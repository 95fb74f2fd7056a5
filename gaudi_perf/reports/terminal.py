"""What the terminal shows: the summary of a session, and the messages of failed tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gaudi_perf.reports import wording
from gaudi_perf.reports.figures import Figures, figures
from gaudi_perf.reports.text import harmless, text_console
from gaudi_perf.reports.warnings import lagging, warnings_of
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.formats import change, percent, seconds, throughput
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import WORST_FIRST, CaseReport, Session, Verdict, VerdictKind
from gaudi_perf.vocabulary.workload import DTYPES, FP8

STYLES = {
    VerdictKind.INVALID: "bold magenta",
    VerdictKind.REGRESSED: "bold red",
    VerdictKind.INCONCLUSIVE: "yellow",
    VerdictKind.NO_BASELINE: "cyan",
    VerdictKind.IMPROVED: "bold green",
    VerdictKind.UNCHANGED: "green",
}
_ONE_TABLE_WIDTH = 120
_REACH = 4.0
"""How many tolerances lie between the middle of an interval bar and its end."""
_UNKNOWN = "-"


def summary(session: Session, runs: Mapping[str, Sequence[Run]], *, width: int, color: bool) -> str:
    """The summary of a session: a row for every measured case (``runs`` are by case id), worst first, then the skipped.
    A width of 80 columns is enough.
    """
    console, buffer = text_console(max(width, 60), color)
    measured = sorted((report for report in session.cases if report.verdicts), key=severity)
    lines: list[tuple[str, str | None]] = []
    if measured:
        firsts = [runs[report.case.id][0] for report in measured]
        facts = {report.case.id: figures(runs[report.case.id]) for report in measured}
        rows = [
            (report.case.id, run.stack.kind, verdict, facts[report.case.id])
            for report, run in zip(measured, firsts, strict=True)
            for verdict in report.verdicts
        ]
        console.print(heading(firsts))
        one = _fitting(console, (*_TIMES, *_VERDICT), rows) if console.width >= _ONE_TABLE_WIDTH else None
        if one is not None:
            console.print(one)
        else:
            console.print(_fitting(console, _VERDICT, rows) or _table(_VERDICT, rows))
            console.print()
            worst = [next(own) for _, own in groupby(rows, key=itemgetter(0))]
            console.print(_fitting(console, _TIMES, worst) or _table(_TIMES, worst))
        said = [
            wording.limit_note(firsts[0]),
            *wording.session_facts(session, runs),
            *_notes(session, measured, facts),
            *wording.notes(session),
        ]
        lines += [(line, None) for line in said]
        warnings = warnings_of({report.case.id: runs[report.case.id] for report in measured})
        lines += [(line, "yellow") for line in (*warnings, *wording.other_regressions(session))]
    lines += [(f"waived: {report.case.id}: {report.waived}", "yellow") for report in session.cases if report.waived]
    lines += [(f"waiver: {text}", "yellow" if "EXPIRED" in text else None) for text in session.waivers]
    lines += [(line, None) for line in wording.skipped(session)]
    lines += [
        (wording.failed_case(report, runs.get(report.case.id, ())), "red") for report in session.cases if report.failed
    ]
    for line, style in [*lines, (wording.error_rate(session), None)]:
        if line:
            console.print(harmless(line, 10_000), style=style)
    return buffer.getvalue()


def failure_text(case: Case, phase: str, sentence: str, log: str) -> str:
    """Why there is no measurement: the phase, what happened, the last lines of the worker's log."""
    lines = [f"{harmless(case.id)}: no measurement, failed in {phase}: {harmless(sentence)}"]
    if log:
        lines += ["last lines of the worker's log:", *(f"  | {harmless(line)}" for line in log.splitlines())]
    return "\n".join(lines)


def verdict_message(case: Case, runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """Why a test failed: case, ratio and interval, the rank that lags, both stacks, and what to do next."""
    lines = []
    stack, lag = runs[0].stack, lagging(runs)
    for verdict in verdicts:
        compared = f", {wording.against_baseline(verdict)}" if wording.estimate(verdict) else ""
        lines += [f"{harmless(case.id)}: {verdict.kind.value}{compared}", f"  why:       {wording.grounds(verdict)}"]
        lines += [f"  ranks:     {lag}"] if lag else []
        before = verdict.baseline_stack
        if before is not None:
            lines += [f"  measured:  {harmless(stack.name)}", f"  baseline:  {harmless(before.name)}"]
            lines += [f"  changed:   {line}" for line in wording.stack_differences(before, stack)]
        lines += [f"  next:      {step}"] if (step := wording.advice(verdict)) else []
    return "\n".join(lines)


def heading(measured: Sequence[Run]) -> str:
    """What a session measured on what: device, stack, dtypes, tokens, weights; ``measured`` has a run of each case."""
    first, workloads = measured[0], [run.case.workload for run in measured]
    dataset = first.case.workload.of_dataset
    dtypes = sorted({workload.dtype for workload in workloads}, key=DTYPES.index)
    batches = {workload.batch_size for workload in workloads}
    what = f"{first.device.name}, {first.stack.name}, {_all_of(dtypes)}, "
    what += f"{_all_of(sorted({workload.new_tokens for workload in workloads}))} new tokens, "
    what += f"batches of {_all_of(sorted(batches))}, " if max(batches) > 1 else ""
    what += f"{first.case.workload.prompts[0]}, " if dataset else ""
    what += f"{first.case.weights} weights"
    what += ", fixed ids for the prompt" if first.case.weights == "dummy" and not dataset else ""
    what += "; stand-in shapes: these are not the times of the real models" if first.case.scale == "standin" else ""
    reference = first.device.name == "cpu" and not FP8.isdisjoint(dtypes)
    what += "; FP8 on the CPU is a reference, and slow" if reference else ""
    return harmless(what)


def _all_of(values: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *others, last = map(str, values)
    return f"{', '.join(others)} and {last}" if others else last


def severity(report: CaseReport) -> tuple[int, float]:
    """Sorts measured cases: the worst first."""
    verdict = report.verdicts[0]
    return WORST_FIRST.index(verdict.kind), -(verdict.ratio or 0.0)


_CHANGE, _BAR, _BASELINE = "change [interval], %", "faster|slower", "baseline"
_VERDICT = (_CHANGE, _BAR, _BASELINE, "verdict")
_TIMES = ("latency", "spread", "tok/s", "1st token", "per token", "of limit")
_BARS = (17, 13, 9, 7, 5)
"""Widths of interval bars; the first that leaves the table as wide as the terminal is taken."""


_Row = tuple[str, str, Verdict, Figures]
"""A case's id, the kind of its stack, a verdict, and the figures."""


def _fitting(console: Console, columns: Sequence[str], rows: Sequence[_Row]) -> Table | None:
    """The table with the widest interval bars that fit; None if no bar does."""
    bars = _BARS if any(verdict.ratio is not None for _, _, verdict, _ in rows) else (0,)
    widest = _table(columns, rows, bar=bars[0], gap=1)
    width = console.measure(widest, options=console.options.update_width(10_000)).maximum  # once: a row costs 0.1 ms
    for bar in bars:
        for gap in (1, 0):
            if width - (bars[0] - bar) - (1 - gap) * (len(widest.columns) - 1) <= console.width:
                return widest if bar == bars[0] and gap else _table(columns, rows, bar=bar, gap=gap)
    return None


def _table(columns: Sequence[str], rows: Sequence[_Row], bar: int = 0, gap: int = 0) -> Table:
    """A row for each verdict, with bars of so many characters, and so many blanks between columns beyond one. Where it
    is too wide, ids are folded, and no number is cut.
    """
    chosen = [column for column in columns if column != _BAR or bar]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, gap), show_edge=False)
    table.add_column("case", overflow="fold")
    for title in chosen:
        shown = ("faster|slower" if bar >= 13 else "- | +").center(bar) if title == _BAR else title
        right = title in _TIMES or title == _CHANGE
        table.add_column(shown, justify="right" if right else "left", no_wrap=title != _BASELINE)
    for case, kind, verdict, facts in rows:
        cells = _times(facts) | _compared(verdict, bar, kind)
        styles = [STYLES[verdict.kind] if title in ("verdict", _BAR) else "" for title in chosen]
        texts = (Text(cells[title], style=style) for title, style in zip(chosen, styles, strict=True))
        table.add_row(harmless(case), *texts)
    return table


def _times(facts: Figures) -> dict[str, str]:
    return {
        "latency": seconds(facts.latency_s),
        "spread": _UNKNOWN if facts.spread is None else percent(facts.spread),
        "tok/s": throughput(facts.tokens_per_s),
        "1st token": _UNKNOWN if facts.first_token_s is None else seconds(facts.first_token_s),
        "per token": _UNKNOWN if facts.per_output_token_s is None else seconds(facts.per_output_token_s),
        "of limit": _UNKNOWN if facts.limit_share is None else percent(facts.limit_share),
    }


def _compared(verdict: Verdict, bar: int, kind: str) -> dict[str, str]:
    """The cells of a verdict; the kind of stack stands in the heading, and is shown where the baseline's is another."""
    stack, shown, drawn = verdict.baseline_stack, _UNKNOWN, ""
    if stack is not None:
        shown = stack.version if stack.kind == kind else stack.name
        shown = harmless(verdict.baseline if verdict.role == "side by side" else shown)
    changed = _UNKNOWN
    if verdict.ratio is not None and verdict.low is not None and verdict.high is not None:
        ratios = (verdict.ratio, verdict.low, verdict.high)
        changed = "{} [{}, {}]".format(*(change(ratio).removesuffix(" %") for ratio in ratios))
        if bar:
            tolerance = verdict.tolerance or TOLERANCES[LATENCY]
            drawn = interval_bar(verdict.low, verdict.ratio, verdict.high, tolerance=tolerance, width=bar)
    named = verdict.kind.value if verdict.metric == LATENCY else f"{verdict.kind.value} ({verdict.metric})"
    return {_CHANGE: changed, _BAR: drawn, _BASELINE: shown, "verdict": named}


def _notes(session: Session, reports: Sequence[CaseReport], facts: Mapping[str, Figures]) -> list[str]:
    """A sentence for every verdict that asks for more than its row."""
    found = []
    for report in reports:
        for verdict in report.verdicts:
            if verdict.kind not in (VerdictKind.UNCHANGED, VerdictKind.IMPROVED):
                text = wording.full_text(verdict, refreshed=session.refreshed, waived=bool(report.waived))
                found.append((report.case.id, f"{verdict.kind.value}: {text}"))
        if not facts[report.case.id].steady:
            found.append((report.case.id, wording.NEVER_STEADY))
    return wording.of_cases(found, all_of=len(reports))


def interval_bar(low: float, ratio: float, high: float, *, tolerance: float, width: int) -> str:
    """A bar of ``width`` characters: the middle is "the same", its ends are four tolerances slower and faster.

    What lies beyond an end is shown by an arrow there. The width is an odd number of characters, at least 5.
    """
    middle = width // 2
    first, at, last = (_place(value, tolerance, middle) for value in (low, ratio, high))
    cells = [" "] * width
    cells[middle] = "│"
    for index in range(max(first, 0), min(last, width - 1) + 1):
        cells[index] = "┼" if index == middle else "─"
    if last > width - 1:
        cells[-1] = "▸"
    if first < 0:
        cells[0] = "◂"
    cells[min(max(at, 0), width - 1)] = "●" if 0 <= at < width else ("▸" if at >= width else "◂")
    return "".join(cells)


def _place(ratio: float, tolerance: float, middle: int) -> int:
    offset = (ratio - 1) / (_REACH * tolerance) * middle
    return middle + round(min(max(offset, -1e6), 1e6))
