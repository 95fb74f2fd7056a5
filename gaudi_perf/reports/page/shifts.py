"""Changes of level in a trend: since when, by how much, and what changed in the stack there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gaudi_perf.judging.trends import sample_of
from gaudi_perf.reports.page.data import Shift
from gaudi_perf.reports.page.past import Night
from gaudi_perf.reports.wording import stack_differences
from gaudi_perf.statistics.change_points import change_points
from gaudi_perf.vocabulary.formats import interval, slower_or_faster


@dataclass(frozen=True)
class FoundShift:
    """A change of level.

    Attributes:
        index: the first night of the new level.
        ratio: new level to old.
        low: lower end of the ratio's interval, where it is known.
        high: upper end.
        before: the last night of the old level; not always the night before, for one night can measure two releases.
    """

    index: int
    ratio: float
    low: float | None = None
    high: float | None = None
    before: int | None = None


FindShifts = Callable[[Sequence[Night]], Sequence[FoundShift]]
"""Finds the changes of level in nights that are in order; invalid nights are among them."""


def shifts_of(series: Sequence[Night], find: FindShifts) -> list[Shift]:
    """The changes of level, in words."""
    return [
        Shift(
            index=found.index,
            ratio=found.ratio,
            text=_text(series[found.index], found),
            changed=_changed(series, found),
        )
        for found in find(series)
        if 0 <= found.index < len(series)
    ]


def find_shifts(series: Sequence[Night]) -> list[FoundShift]:
    """The changes of level among the valid nights, version by version and night by night."""
    places = [place for place, night in enumerate(series) if night.valid and night.runs]
    places.sort(key=lambda place: (series[place].stack.order, series[place].at, series[place].session_id))
    nights = [series[place] for place in places]
    points = change_points(
        [night.level_s for night in nights],
        lambda index: [sample_of(run) for run in nights[index].runs],
        suspects=[index for index in range(1, len(nights)) if nights[index].stack != nights[index - 1].stack],
    )
    return [
        FoundShift(places[point.index], point.ratio, point.low, point.high, places[point.index - 1]) for point in points
    ]


def _changed(series: Sequence[Night], found: FoundShift) -> list[str]:
    before = found.index - 1 if found.before is None else found.before
    return stack_differences(series[before].stack, series[found.index].stack)


def _text(night: Night, found: FoundShift) -> str:
    sure = "" if found.low is None or found.high is None else f" {interval(found.low, found.high)}"
    return f"since {night.at:%Y-%m-%d} ({night.stack.name}): {slower_or_faster(found.ratio)}{sure}"
