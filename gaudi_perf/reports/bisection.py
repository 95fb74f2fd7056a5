"""The answer of a search for the first slow stack or commit."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.reports.terminal import STYLES
from gaudi_perf.reports.text import Cell, Words, harmless
from gaudi_perf.reports.wording import estimate
from gaudi_perf.vocabulary.bisection import Bisection, BisectionStep
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.stack import Stack, stack_changes


def step_line(step: BisectionStep, good: str) -> str:
    """One comparison on a line."""
    return harmless(f"{step.point} against {good}: {step.verdict.kind.value} {estimate(step.verdict)}")


def answer(found: Bisection) -> Words:
    """The comparisons by the order of the points, and what was found."""
    good = found.points[0]
    rows: list[Sequence[Cell]] = []
    for point in found.points[1:]:
        step = found.step_of(point)
        if step is not None:
            kind = step.verdict.kind
            rows.append((point, (kind.value, STYLES[kind]), estimate(step.verdict), step.case, step.session_id))
    columns = ("point", "verdict", f"against {good}", "case", "session")
    return Words("", columns, rows, tuple(_conclusion(found)))


def _conclusion(found: Bisection) -> list[str]:
    low, high = found.span
    points, steps = found.points, counted(len(found.steps), "comparison")
    if high - low > 1:
        return [f"the first slower one is after {points[low]}, up to {points[high]}; {steps} so far"]
    first, last = found.step_of(points[high]), found.step_of(points[low])
    size = f": {estimate(first.verdict)} against {points[0]}" if first is not None else ""
    as_said = "" if first is not None else "; it was not compared itself, only said to be slower"
    lines = [f"the first slower one is {points[high]}{size}; {points[low]} is not slower; found in {steps}{as_said}"]
    before: Stack | None = last.stack if last is not None else first.verdict.baseline_stack if first else None
    if first is not None and before is not None:
        changes = "; ".join(stack_changes(before, first.stack)) or "no version and no setting that is known"
        lines.append(f"what differs between the two: {changes}")
    return lines
