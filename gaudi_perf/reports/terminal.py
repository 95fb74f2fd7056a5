"""What the terminal shows: the summary of a session, and the messages of failed tests."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from gaudi_perf.reports.figures import Figures, figures
from gaudi_perf.reports.text import change, harmless, interval, seconds, slower_or_faster
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.measurement import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import WORST_FIRST, CaseReport, Session, Verdict, VerdictKind

if TYPE_CHECKING:
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
    measured = sorted((report for report in session.cases if report.verdicts), key=_severity)
    if measured:
        console.print(_heading(runs[measured[0].case.id][0]))
        if console.width >= _ONE_TABLE_WIDTH:
            console.print(_table(_TIMES + _VERDICT, measured, runs, all_verdicts=True))
        else:
            console.print(_table(_VERDICT, measured, runs, all_verdicts=True))
            console.print(_table(_TIMES, measured, runs, all_verdicts=False))
        for line in _notes(measured, runs):
            console.print(line)
    for report in session.cases:
        if report.waived:
            console.print(f"waived: {report.case.id}: {harmless(report.waived)}", style="yellow")
    for reason, count in Counter(report.skipped for report in session.cases if report.skipped).items():
        console.print(f"skipped {count}: {harmless(reason)}")
    for report in session.cases:
        if report.failed:
            console.print(f"not measured: {report.case.id}: {harmless(report.failed)}", style="red")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def failure_text(case: Case, phase: str, sentence: str, log: str) -> str:
    """Why there is no measurement: the phase, what happened, the last lines of the worker's log."""
    lines = [f"{case.id}: no measurement, failed in {phase}: {harmless(sentence)}"]
    if log:
        lines += ["last lines of the worker's log:", *(f"  | {harmless(line)}" for line in log.splitlines())]
    return "\n".join(lines)


def verdict_message(case: Case, run: Run, verdicts: Sequence[Verdict]) -> str:
    """Why a test failed: case, ratio and interval, both stacks, and what to do next."""
    lines = []
    for verdict in verdicts:
        head = f"{case.id}: {verdict.kind.value}"
        if verdict.ratio is not None and verdict.low is not None and verdict.high is not None:
            head += f", {slower_or_faster(verdict.ratio)} {interval(verdict.low, verdict.high)} than {verdict.baseline}"
        lines += [head, f"  why:       {harmless(verdict.reason)}"]
        if verdict.baseline_stack is not None:
            lines += [f"  measured:  {_stack_line(run.stack)}", f"  baseline:  {_stack_line(verdict.baseline_stack)}"]
            lines += [f"  changed:   {line}" for line in stack_differences(verdict.baseline_stack, run.stack)]
        if verdict.advice:
            lines.append(f"  next:      {harmless(verdict.advice)}")
    return "\n".join(lines)


def stack_differences(old: Stack, new: Stack) -> list[str]:
    """Components and settings that differ, as ``pytorch 2.9.0 -> 2.10.0``."""
    lines = []
    for before, after in ((old.components, new.components), (old.settings, new.settings)):
        for name in sorted(before.keys() | after.keys()):
            one, other = before.get(name, "none"), after.get(name, "none")
            if one != other:
                lines.append(harmless(f"{name} {one} -> {other}"))
    return lines


def verdict_counts(session: Session) -> str:
    """How many cases came to which verdict, worst first: ``1 REGRESSED, 3 UNCHANGED``."""
    counts = Counter(report.verdicts[0].kind for report in session.cases if report.verdicts)
    return ", ".join(f"{counts[kind]} {kind.value}" for kind in WORST_FIRST if counts[kind])


def _stack_line(stack: Stack) -> str:
    return harmless(stack.name)


def _heading(run: Run) -> str:
    workload = run.case.workload
    what = f"{run.device.name}, {run.stack.name}, {workload.dtype}, {workload.new_tokens} new tokens, "
    what += f"{run.case.weights} weights"
    if run.case.scale == "standin":
        what += "; stand-in shapes: these are not the times of the real models"
    return harmless(what)


def _severity(report: CaseReport) -> tuple[int, float]:
    verdict = report.verdicts[0]
    return WORST_FIRST.index(verdict.kind), -(verdict.ratio or 0.0)


_Column = tuple[str, Literal["left", "right"]]
_VERDICT: list[_Column] = [("change [interval], %", "right"), ("baseline", "left"), ("verdict", "left")]
_TIMES: list[_Column] = [
    ("latency", "right"),
    ("spread", "right"),
    ("tok/s", "right"),
    ("1st token", "right"),
    ("per token", "right"),
]


def _table(
    columns: Sequence[_Column], reports: Sequence[CaseReport], runs: Mapping[str, Sequence[Run]], all_verdicts: bool
) -> Table:
    """A row a case, or a row for each of its verdicts."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), show_edge=False)
    table.add_column("case", no_wrap=True)
    for title, side in columns:
        table.add_column(title, justify=side, no_wrap=title != "baseline")
    for report in reports:
        facts = figures(runs[report.case.id])
        for verdict in report.verdicts if all_verdicts else report.verdicts[:1]:
            cells = [_cell(title, verdict, facts) for title, _ in columns]
            styles = [STYLES[verdict.kind] if title == "verdict" else "" for title, _ in columns]
            table.add_row(report.case.id, *(Text(cell, style=style) for cell, style in zip(cells, styles, strict=True)))
    return table


def _cell(title: str, verdict: Verdict, facts: Figures) -> str:
    values: dict[str, str] = {
        "latency": seconds(facts.latency_s),
        "spread": _UNKNOWN if facts.spread is None else f"{facts.spread * 100:.1f} %",
        "tok/s": f"{facts.tokens_per_s:.1f}",
        "1st token": _UNKNOWN if facts.first_token_s is None else seconds(facts.first_token_s),
        "per token": _UNKNOWN if facts.per_output_token_s is None else seconds(facts.per_output_token_s),
        "change [interval], %": _change_cell(verdict),
        "baseline": _UNKNOWN if verdict.baseline_stack is None else harmless(verdict.baseline_stack.name),
        "verdict": verdict.kind.value,
    }
    return values[title]


def _change_cell(verdict: Verdict) -> str:
    if verdict.ratio is None or verdict.low is None or verdict.high is None:
        return _UNKNOWN
    middle, low, high = (change(ratio).removesuffix(" %") for ratio in (verdict.ratio, verdict.low, verdict.high))
    return f"{middle} [{low}, {high}]"


def _notes(reports: Sequence[CaseReport], runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """A sentence for every verdict that asks for more than its row."""
    lines: dict[str, list[str]] = {}
    for report in reports:
        for verdict in report.verdicts:
            if verdict.kind not in (VerdictKind.UNCHANGED, VerdictKind.IMPROVED):
                text = " ".join(part for part in (verdict.reason, verdict.advice) if part)
                lines.setdefault(f"{verdict.kind.value}: {harmless(text)}", []).append(report.case.id)
        if not figures(runs[report.case.id]).steady:
            lines.setdefault("never steady: its rounds still drifted when warm-up ended", []).append(report.case.id)
    everything = len(reports)
    return [
        f"{'all' if len(set(ids)) == everything > 1 else ', '.join(dict.fromkeys(ids))}: {text}"
        for text, ids in lines.items()
    ]
