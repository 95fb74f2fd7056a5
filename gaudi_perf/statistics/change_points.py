"""Since when is it slower: the sessions at which a level changed, and those that are odd by themselves.

A single session is no level: one that lies apart from both neighbours is odd, and of the newest it is too early to
say. Without these, the splits that pay for themselves are proposed (optimal partitioning, which is exact: Jackson et
al. 2005, doi:10.1109/LSP.2001.838216). A split stays if all sessions between it and the splits beside it differ by a
t-test with unequal variances (Welch 1947), each variance moderated by that of the whole series (Smyth 2004).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import FloatArray, robust_spread
from gaudi_perf.statistics.verdict import ComparisonSettings, material
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.verdict import VerdictKind

_PENALTY = 3.0
"""In units of variance times log(sessions): the usual choice is between 2 (BIC for a known place) and 4."""
_ODD = 4.0
"""An odd session lies at least so many standard deviations from the nearer one of its neighbours."""
_SHORTEST = 2
_BATCH = 64
"""Series that are searched at once: of 1,000 sessions they fit into a processor's cache."""
_NEWEST = 10
"""Half of the permitted error is for changes of the newest sessions, which people look at: else those of a long series
need many sessions (benchmarks/changes.py: of changes 3 to 7 sessions ago among 200, 98 % are found, not 91)."""
_PRIOR_FREEDOM, _SERIES_FREEDOM = 1.0, 10.0
"""Degrees of freedom that the assumed variation between sessions is worth in a series, and the series' in a segment
(benchmarks/changes.py: with 20 there is twice as much that is found where nothing changed but the noise grew, with 4
fewer changes of the last sessions are found)."""


@dataclass(frozen=True)
class ChangePoint:
    """The first session (``index``) of another level: REGRESSED or IMPROVED, new level to old; 1.08 is 8 % slower."""

    index: int
    kind: VerdictKind
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class OddLevel:
    """A session that lies apart from the level around it by a ratio; of the ``newest`` it is too early to say."""

    index: int
    ratio: float
    newest: bool


@dataclass(frozen=True)
class LevelChanges:
    """The changes of level of a series and its odd sessions, each in order."""

    points: list[ChangePoint] = field(default_factory=list)
    odd: list[OddLevel] = field(default_factory=list)


@dataclass(frozen=True)
class Series:
    """The levels of sessions in seconds, in order.

    ``suspects`` are the sessions at which something is known to have changed, the stack for instance. They share a
    permitted error rate, and all sessions another one.
    """

    levels_s: Sequence[float] | FloatArray
    suspects: Iterable[int] = ()


def change_points(
    levels_s: Sequence[float], *, suspects: Iterable[int] = (), tolerance: float = TOLERANCES[LATENCY]
) -> LevelChanges:
    """As ``all_change_points``, of one series."""
    return all_change_points([Series(levels_s, suspects)], tolerance=tolerance)[0]


def all_change_points(series: Iterable[Series], *, tolerance: float = TOLERANCES[LATENCY]) -> list[LevelChanges]:
    """Find the sessions at which the levels of cases changed, and those that are odd by themselves.

    Each series is judged by itself; many are searched faster at once.

    Args:
        tolerance: the largest slowdown that is accepted; changes below half of it are not reported.

    Raises:
        ValueError: a level is no duration, or the tolerance is not a share above 0.
    """
    least = material(tolerance)
    smoothed = [_Smoothed.of(one, least) for one in series]
    penalties = [_PENALTY * math.log(max(one.kept.size, 1)) * one.variance for one in smoothed]
    found = optimal_splits([one.kept for one in smoothed], penalties)
    return [one.changes(splits, least) for one, splits in zip(smoothed, found, strict=True)]


@dataclass(frozen=True)
class _Smoothed:
    """Logarithms of levels, which of them are odd, and what is left to be searched: ``kept``, from ``first`` on."""

    level: FloatArray
    odd: NDArray[np.bool_]
    kept: FloatArray
    first: int
    variance: float
    suspects: frozenset[int]

    @classmethod
    def of(cls, series: Series, least: float) -> _Smoothed:
        values = np.asarray(series.levels_s, dtype=np.float64)
        if not np.all(np.isfinite(values) & (values > 0)):
            raise ValueError("levels must be finite seconds above 0")
        if values.size < 2:
            return cls(np.zeros(0), np.zeros(0, dtype=np.bool_), np.zeros(0), 0, 1.0, frozenset())
        level = np.log(values / values.mean())
        steps = np.diff(level)
        if steps.size == 2:  # of two steps the median is half the larger one, which may be real
            steps = steps[[int(np.argmin(np.abs(steps)))]]
        # Of two neighbours on one level the difference has twice the variance; the median ignores the few real steps.
        usual = robust_spread(steps - np.median(steps)) ** 2 / 2
        variance = _moderated(steps.size * usual, steps.size, NoisePrior.session**2, _PRIOR_FREEDOM)
        smooth, odd = _without_odd(level, max(_ODD * math.sqrt(variance), least))
        first = int(odd[0])
        kept = smooth[first : level.size - int(odd[-1])]
        suspects = (index - first for index in series.suspects)
        between = frozenset(index for index in suspects if _SHORTEST <= index <= kept.size - _SHORTEST)
        return cls(level, odd, kept, first, variance, between)

    def changes(self, proposals: Sequence[int], least: float) -> LevelChanges:
        """The changes of level among proposals, and the odd sessions."""
        size, kept = self.level.size, self.kept
        if not size:
            return LevelChanges()
        newest = min(_NEWEST, size // 2)
        permitted = {
            index: ComparisonSettings.false_alarms / 2 / (newest if index >= kept.size - newest else size - newest)
            for index in proposals
        }
        permitted |= dict.fromkeys(self.suspects, ComparisonSettings.false_alarms / max(len(self.suspects), 1))
        points, around = _tested(kept, permitted, least, self.variance)
        around = np.pad(around, (self.first, int(self.odd[-1])), mode="edge")
        return LevelChanges(
            [replace(point, index=point.index + self.first) for point in points],
            [
                OddLevel(int(index), math.exp(self.level[index] - around[index]), newest=bool(index == size - 1))
                for index in np.flatnonzero(self.odd)
            ],
        )


def _moderated(squares: Any, freedom: Any, expected: float, worth: float) -> Any:
    """Variances by sums of squares with so many degrees of freedom, and an expected one that is worth some more."""
    return (worth * expected + squares) / (worth + freedom)


def _without_odd(level: FloatArray, reach: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The levels with odd sessions put where the nearer of their neighbours is, and which those are."""
    smooth, odd = level.copy(), np.zeros(level.size, dtype=np.bool_)
    if level.size > 2:
        middle = np.median([level[:-2], level[1:-1], level[2:]], axis=0)
        odd[1:-1] = np.abs(level[1:-1] - middle) > reach
        smooth[1:-1] = np.where(odd[1:-1], middle, level[1:-1])
        odd[0] = abs(smooth[0] - smooth[1]) > reach
    odd[-1] = abs(smooth[-1] - smooth[-2]) > reach
    return smooth, odd


def optimal_splits(series: Sequence[FloatArray], penalties: Sequence[float]) -> list[list[int]]:
    """For each series the splits into segments of at least two that cost least: squares around the means of segments,
    and a penalty for each split.

    Optimal partitioning (Jackson et al. 2005), exact: the best way to an end is the best way to some earlier end and a
    segment from there. Each end is looked for in many series at once.
    """
    found: list[list[int]] = []
    for start in range(0, len(series), _BATCH):
        found += _splits(series[start : start + _BATCH], np.array(penalties[start : start + _BATCH]))
    return found


def _splits(series: Sequence[FloatArray], penalty: FloatArray) -> list[list[int]]:
    longest, rows = max(one.size for one in series), np.arange(len(series))
    sums = np.zeros((len(series), longest + 1))
    for row, one in zip(sums, series, strict=True):
        np.cumsum(one, out=row[1 : one.size + 1])
    # Costs without the sum of all squares up to their end, which is the same whatever the splits are.
    costs = np.full_like(sums, np.inf)
    costs[:, 0] = -penalty
    before = np.zeros(sums.shape, dtype=np.intp)
    shares = 1 / np.arange(longest, 0, -1)
    for end in range(_SHORTEST, longest + 1):
        starts = end - _SHORTEST + 1
        gains = sums[:, :starts] - sums[:, end, None]
        gains *= gains
        gains *= shares[longest - end : longest - end + starts]
        ways = np.subtract(costs[:, :starts], gains, out=gains)
        before[:, end] = best = ways.argmin(axis=1)
        costs[:, end] = ways[rows, best] + penalty
    return [_way_back(row.tolist(), one.size) for row, one in zip(before, series, strict=True)]


def _way_back(before: Sequence[int], end: int) -> list[int]:
    found = []
    while end := before[end]:
        found.append(end)
    return found[::-1]


def _tested(
    level: FloatArray, permitted: Mapping[int, float], least: float, variance: float
) -> tuple[list[ChangePoint], FloatArray]:
    """The splits that are changes of level, by the error that each is permitted; and the level around each session."""
    from scipy.special import stdtr, stdtrit

    splits = np.array(sorted(permitted), dtype=np.intp)
    errors = np.array([permitted[int(split)] for split in splits])
    sums, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (level, level**2))
    while True:
        bounds = np.concatenate([[0], splits, [level.size]])
        counts = np.diff(bounds)
        means = np.diff(sums[bounds]) / counts
        changes = np.diff(means)
        # The weakest goes first: its sessions then speak for its neighbours.
        weakest = int(np.argmin(np.abs(changes))) if changes.size else -1
        if weakest < 0 or abs(changes[weakest]) >= least:
            scatter = np.maximum(np.diff(squares[bounds]) - counts * means**2, 0.0)
            series = max(
                variance, _moderated(scatter.sum(), level.size - counts.size, NoisePrior.session**2, _PRIOR_FREEDOM)
            )
            worth_series = min(_SERIES_FREEDOM, _PRIOR_FREEDOM + level.size - counts.size)
            freedom = worth_series + counts - 1
            parts = _moderated(scatter, counts - 1, series, worth_series) / counts
            both = parts[:-1] + parts[1:]
            worth = both**2 / (parts[:-1] ** 2 / freedom[:-1] + parts[1:] ** 2 / freedom[1:])
            deviations = np.sqrt(both)
            excess = stdtr(worth, -np.abs(changes) / deviations) / errors
            if not np.any(excess > 1):
                break
            weakest = int(np.argmax(excess))
        splits, errors = np.delete(splits, weakest), np.delete(errors, weakest)
    reach = -stdtrit(worth, errors) * deviations
    points = [
        ChangePoint(
            int(split),
            VerdictKind.REGRESSED if change > 0 else VerdictKind.IMPROVED,
            *(math.exp(value) for value in (change, change - to, change + to)),
        )
        for split, change, to in zip(splits, changes, reach, strict=True)
    ]
    return points, np.repeat(means, counts)
