"""What the terminal shows: the summary of a session, and the messages of failed tests."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from gaudi_perf.reports.bars import interval_bar
from gaudi_perf.reports.figures import Figures, figures
from gaudi_perf.reports.ranks import lagging
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.warnings import warnings_of
from gaudi_perf.reports.wording import (
    NEVER_STEADY,
    advice,
    against_baseline,
    error_rate,
    estimate,
    full_text,
    grounds,
    learned_noise,
    limit_note,
    notes,
    other_regressions,
    skipped,
    smallest_visible,
    stack_differences,
    stacks_side_by_side,
)
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.formats import change, percent, seconds
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import WORST_FIRST, CaseReport, Session, Verdict, VerdictKind

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES = {
    VerdictKind.INVALID: "bold magenta",
    VerdictKind.REGRESSED: "bold red",
    VerdictKind.INCONCLUSIVE: "yellow",
    VerdictKind.NO_BASELINE: "cyan",
    VerdictKind.IMPROVED: "bold green",
    VerdictKind.UNCHANGED: "green",
}
_ONE_TABLE_WIDTH = 120
_UNKNOWN = "-"


def summary(session: Session, runs: Mapping[str, Sequence[Run]], *, width: int, color: bool) -> str:
    """The summary of a session: a row for every measured case, worst first, then what was skipped.

    Args:
        session: what was found.
        runs: the runs of each measured case, by case id.
        width: columns of the terminal; 80 are enough.
        color: whether to colour; without, the text is plain.
    """
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        width=max(width, 60),
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    measured = sorted((report for report in session.cases if report.verdicts), key=severity)
    if measured:
        console.print(heading(runs[measured[0].case.id][0]))
        one = _fitting(console, _TIMES + _VERDICT, measured, runs) if console.width >= _ONE_TABLE_WIDTH else None
        if one is not None:
            console.print(one)
        else:
            console.print(_fitting(console, _VERDICT, measured, runs) or _table(_VERDICT, measured, runs))
            console.print()
            times = _fitting(console, _TIMES, measured, runs, all_verdicts=False)
            console.print(times or _table(_TIMES, measured, runs, all_verdicts=False))
        limit = limit_note(runs[measured[0].case.id][0])
        if limit:
            console.print(limit)
        visible = smallest_visible(session)
        if visible:
            console.print(visible)
        if noise := learned_noise(session):
            console.print(noise)
        for line in [*stacks_side_by_side(session, runs), *_notes(session, measured, runs), *notes(session)]:
            console.print(line)
        for line in [
            *warnings_of({report.case.id: runs[report.case.id] for report in measured}),
            *other_regressions(session),
        ]:
            console.print(line, style="yellow")
    for report in session.cases:
        if report.waived:
            console.print(harmless(f"waived: {report.case.id}: {report.waived}"), style="yellow")
    for sentence in session.waivers:
        console.print(f"waiver: {harmless(sentence)}", style="yellow" if "EXPIRED" in sentence else None)
    for line in skipped(session):
        console.print(line)
    for report in session.cases:
        if report.failed:
            console.print(harmless(f"not measured: {report.case.id}: {report.failed}"), style="red")
    if rate := error_rate(session):
        console.print(rate)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def failure_text(case: Case, phase: str, sentence: str, log: str) -> str:
    """Why there is no measurement: the phase, what happened, the last lines of the worker's log."""
    lines = [f"{case.id}: no measurement, failed in {phase}: {harmless(sentence)}"]
    if log:
        lines += ["last lines of the worker's log:", *(f"  | {harmless(line)}" for line in log.splitlines())]
    return "\n".join(lines)


def verdict_message(case: Case, runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """Why a test failed: case, ratio and interval, the rank that lags, both stacks, and what to do next."""
    lines = []
    stack, lag = runs[0].stack, lagging(runs)
    for verdict in verdicts:
        head = f"{case.id}: {verdict.kind.value}"
        if estimate(verdict):
            head += f", {against_baseline(verdict)}"
        lines += [head, f"  why:       {grounds(verdict)}"]
        if lag:
            lines.append(f"  ranks:     {lag}")
        if verdict.baseline_stack is not None:
            lines += [f"  measured:  {_stack_line(stack)}", f"  baseline:  {_stack_line(verdict.baseline_stack)}"]
            lines += [f"  changed:   {line}" for line in stack_differences(verdict.baseline_stack, stack)]
        if next_step := advice(verdict):
            lines.append(f"  next:      {next_step}")
    return "\n".join(lines)


def _stack_line(stack: Stack) -> str:
    return harmless(stack.name)


def heading(run: Run) -> str:
    """What was measured on what: device, stack, dtype, tokens, weights."""
    workload = run.case.workload
    what = f"{run.device.name}, {run.stack.name}, {workload.dtype}, {workload.new_tokens} new tokens, "
    if workload.batch_size > 1:
        what += f"batches of {workload.batch_size}, "
    if workload.prompt.startswith("dataset "):
        what += f"{workload.prompt}, "
    what += f"{run.case.weights} weights"
    if run.case.weights == "dummy" and not workload.prompt.startswith("dataset "):
        what += ", fixed ids for the prompt"
    if run.case.scale == "standin":
        what += "; stand-in shapes: these are not the times of the real models"
    return harmless(what)


def severity(report: CaseReport) -> tuple[int, float]:
    """Sorts measured cases: the worst first."""
    verdict = report.verdicts[0]
    return WORST_FIRST.index(verdict.kind), -(verdict.ratio or 0.0)


_Column = tuple[str, Literal["left", "right"]]
_BAR = "faster|slower"
_LIMIT = "of limit"
_BARS = (17, 13, 9, 7, 5)
"""Widths of interval bars; the first that leaves the table as wide as the terminal is taken."""
_VERDICT: list[_Column] = [
    ("change [interval], %", "right"),
    (_BAR, "left"),
    ("baseline", "left"),
    ("verdict", "left"),
]
_TIMES: list[_Column] = [
    ("latency", "right"),
    ("spread", "right"),
    ("tok/s", "right"),
    ("1st token", "right"),
    ("per token", "right"),
    (_LIMIT, "right"),
]


def _fitting(
    console: Console,
    columns: Sequence[_Column],
    reports: Sequence[CaseReport],
    runs: Mapping[str, Sequence[Run]],
    all_verdicts: bool = True,
) -> Table | None:
    """The table with the widest interval bars that fit; None if no bar does."""
    compared = any(verdict.ratio is not None for report in reports for verdict in report.verdicts)
    for bar in _BARS if compared else (0,):
        for gap in (1, 0):
            table = _table(columns, reports, runs, all_verdicts, bar=bar, gap=gap)
            if console.measure(table, options=console.options.update_width(500)).maximum <= console.width:
                return table
    return None


def _table(
    columns: Sequence[_Column],
    reports: Sequence[CaseReport],
    runs: Mapping[str, Sequence[Run]],
    all_verdicts: bool = True,
    bar: int = 0,
    gap: int = 1,
) -> Table:
    """A row a case, or a row for each of its verdicts.

    Args:
        bar: characters of interval bar, 0 for none.
        gap: blanks between columns beyond one.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    kinds = {report.case.id: runs[report.case.id][0].stack.kind for report in reports}
    chosen = [column for column in columns if column[0] != _BAR or bar]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, gap), show_edge=False)
    table.add_column("case", no_wrap=True)
    for title, side in chosen:
        shown = ("faster|slower" if bar >= 13 else "- | +").center(bar) if title == _BAR else title
        table.add_column(shown, justify=side, no_wrap=title != "baseline")
    for report in reports:
        facts = figures(runs[report.case.id])
        for verdict in report.verdicts if all_verdicts else report.verdicts[:1]:
            cells = [_cell(title, verdict, facts, bar, kinds[report.case.id]) for title, _ in chosen]
            styles = [STYLES[verdict.kind] if title in ("verdict", _BAR) else "" for title, _ in chosen]
            name = harmless(report.case.id)
            table.add_row(name, *(Text(cell, style=style) for cell, style in zip(cells, styles, strict=True)))
    return table


def _cell(title: str, verdict: Verdict, facts: Figures, bar: int, kind: str) -> str:
    values: dict[str, str] = {
        "latency": seconds(facts.latency_s),
        "spread": _UNKNOWN if facts.spread is None else percent(facts.spread),
        "tok/s": f"{facts.tokens_per_s:.1f}",
        "1st token": _UNKNOWN if facts.first_token_s is None else seconds(facts.first_token_s),
        "per token": _UNKNOWN if facts.per_output_token_s is None else seconds(facts.per_output_token_s),
        _LIMIT: _UNKNOWN if facts.limit_share is None else percent(facts.limit_share),
        "change [interval], %": _change_cell(verdict),
        _BAR: _bar_cell(verdict, bar),
        "baseline": _baseline_cell(verdict, kind),
        "verdict": verdict.kind.value if verdict.metric == LATENCY else f"{verdict.kind.value} ({verdict.metric})",
    }
    return values[title]


def _baseline_cell(verdict: Verdict, kind: str) -> str:
    """The baseline's version; its kind of stack stands in the heading, and is shown again where it is another."""
    stack = verdict.baseline_stack
    if stack is None:
        return _UNKNOWN
    if verdict.role == "side by side":
        return harmless(verdict.baseline)
    return harmless(stack.version if stack.kind == kind else stack.name)


def _bar_cell(verdict: Verdict, bar: int) -> str:
    if not bar or verdict.ratio is None or verdict.low is None or verdict.high is None:
        return ""
    return interval_bar(
        verdict.low, verdict.ratio, verdict.high, tolerance=verdict.tolerance or TOLERANCES[LATENCY], width=bar
    )


def _change_cell(verdict: Verdict) -> str:
    if verdict.ratio is None or verdict.low is None or verdict.high is None:
        return _UNKNOWN
    middle, low, high = (change(ratio).removesuffix(" %") for ratio in (verdict.ratio, verdict.low, verdict.high))
    return f"{middle} [{low}, {high}]"


def _notes(session: Session, reports: Sequence[CaseReport], runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """A sentence for every verdict that asks for more than its row."""
    lines: dict[str, list[str]] = {}
    for report in reports:
        for verdict in report.verdicts:
            if verdict.kind not in (VerdictKind.UNCHANGED, VerdictKind.IMPROVED):
                text = full_text(verdict, refreshed=session.refreshed, waived=bool(report.waived))
                lines.setdefault(f"{verdict.kind.value}: {text}", []).append(harmless(report.case.id))
        if not figures(runs[report.case.id]).steady:
            lines.setdefault(NEVER_STEADY, []).append(harmless(report.case.id))
    everything = len(reports)
    return [
        f"{'all' if len(set(ids)) == everything > 1 else ', '.join(dict.fromkeys(ids))}: {text}"
        for text, ids in lines.items()
    ]
