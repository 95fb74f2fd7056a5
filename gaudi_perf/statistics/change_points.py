"""Since when is it slower: the sessions at which a level changed, and those that are odd by themselves.

A single session is no level: one that lies apart from both neighbours is odd, and of the newest it is too early to
say. Without these, ruptures proposes the splits that pay for themselves (PELT with a linear kernel, which is exact:
Killick, Fearnhead and Eckley 2012, doi:10.1080/01621459.2012.737745). A split stays if all sessions between it and the
splits beside it differ by a t-test with unequal variances (Welch 1947), each variance moderated by that of the whole
series (Smyth 2004).
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


def change_points(
    levels_s: Sequence[float], *, suspects: Iterable[int] = (), tolerance: float = TOLERANCES[LATENCY]
) -> LevelChanges:
    """Find the sessions at which the level of a case changed, and those that are odd by themselves.

    Args:
        levels_s: the level of each session in seconds, in order.
        suspects: sessions at which something is known to have changed, the stack for instance. They share a permitted
            error rate, and all sessions another one.
        tolerance: the largest slowdown that is accepted; changes below half of it are not reported.

    Raises:
        ValueError: a level is no duration, or the tolerance is not a share above 0.
    """
    values = np.asarray(levels_s, dtype=np.float64)
    if not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError("levels must be finite seconds above 0")
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance is {tolerance}, and must be a share above 0, for instance 0.05")
    if values.size < 2:
        return LevelChanges()
    level, least = np.log(values / values.mean()), material(tolerance)
    steps = np.diff(level)
    if steps.size == 2:  # of two steps the median is half the larger one, which may be real
        steps = steps[[int(np.argmin(np.abs(steps)))]]
    # Of two neighbours on one level the difference has twice the variance; the median ignores the few real steps.
    usual = robust_spread(steps - np.median(steps)) ** 2 / 2
    variance = _moderated(steps.size * usual, steps.size, NoisePrior.session**2, _PRIOR_FREEDOM)
    smooth, odd = _without_odd(level, max(_ODD * math.sqrt(variance), least))
    first, last = int(odd[0]), level.size - int(odd[-1])
    kept = smooth[first:last]
    expected = {index - first for index in suspects} & set(range(_SHORTEST, kept.size - _SHORTEST + 1))
    newest = min(_NEWEST, level.size // 2)
    permitted = {
        index: ComparisonSettings.false_alarms / 2 / (newest if index >= kept.size - newest else level.size - newest)
        for index in _proposals(kept, variance)
    }
    permitted |= dict.fromkeys(expected, ComparisonSettings.false_alarms / max(len(expected), 1))
    points, around = _tested(kept, permitted, least, variance)
    around = np.pad(around, (first, level.size - last), mode="edge")
    return LevelChanges(
        [replace(point, index=point.index + first) for point in points],
        [
            OddLevel(int(index), math.exp(level[index] - around[index]), newest=bool(index == level.size - 1))
            for index in np.flatnonzero(odd)
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


def _proposals(level: FloatArray, variance: float) -> list[int]:
    """The splits that ruptures proposes."""
    if level.size < 2 * _SHORTEST:
        return []
    from ruptures import KernelCPD  # takes a third of a second to import

    search = KernelCPD(kernel="linear", min_size=_SHORTEST).fit(level[:, None])
    return [int(index) for index in search.predict(pen=_PENALTY * math.log(level.size) * variance)[:-1]]


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
        scatter = np.maximum(np.diff(squares[bounds]) - counts * means**2, 0.0)
        series = max(
            variance, _moderated(scatter.sum(), level.size - counts.size, NoisePrior.session**2, _PRIOR_FREEDOM)
        )
        worth_series = min(_SERIES_FREEDOM, _PRIOR_FREEDOM + level.size - counts.size)
        freedom = worth_series + counts - 1
        parts = _moderated(scatter, counts - 1, series, worth_series) / counts
        both = parts[:-1] + parts[1:]
        worth = both**2 / (parts[:-1] ** 2 / freedom[:-1] + parts[1:] ** 2 / freedom[1:])
        changes, deviations = np.diff(means), np.sqrt(both)
        excess = stdtr(worth, -np.abs(changes) / deviations) / errors
        # The weakest goes first: its sessions then speak for its neighbours.
        if np.any(np.abs(changes) < least):
            weakest = int(np.argmin(np.abs(changes)))
        elif np.any(excess > 1):
            weakest = int(np.argmax(excess))
        else:
            break
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
