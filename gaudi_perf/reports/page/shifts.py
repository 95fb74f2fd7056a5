"""Changes of level in a trend: since when, by how much, and what changed in the stack there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gaudi_perf.reports.family import stack_differences
from gaudi_perf.reports.page.data import Shift
from gaudi_perf.reports.page.past import Night
from gaudi_perf.reports.text import interval, slower_or_faster


@dataclass(frozen=True)
class FoundShift:
    """A change of level.

    Attributes:
        index: the first night of the new level.
        ratio: new level to old.
        low: lower end of the ratio's interval, where it is known.
        high: upper end.
    """

    index: int
    ratio: float
    low: float | None = None
    high: float | None = None


FindShifts = Callable[[Sequence[Night]], Sequence[FoundShift]]
"""Finds the changes of level in nights that are in order; invalid nights are among them."""


def shifts_of(series: Sequence[Night], find: FindShifts) -> list[Shift]:
    """The changes of level, in words."""
    return [
        Shift(
            index=found.index,
            ratio=round(found.ratio, 4),
            text=_text(series[found.index], found),
            changed=stack_differences(series[found.index - 1].stack, series[found.index].stack),
        )
        for found in find(series)
        if 0 < found.index < len(series)
    ]


def _text(night: Night, found: FoundShift) -> str:
    sure = "" if found.low is None or found.high is None else f" {interval(found.low, found.high)}"
    return f"since {night.at:%Y-%m-%d} ({night.stack.name}): {slower_or_faster(found.ratio)}{sure}"
