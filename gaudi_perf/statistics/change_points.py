"""Since when is it slower: the sessions at which a level changed.

Two voters. ruptures proposes the splits of the whole series that pay for themselves (PELT with a linear kernel, which
is exact: Killick, Fearnhead and Eckley 2012, doi:10.1080/01621459.2012.737745). The engine's own comparison, of the
sessions behind a split with those before it, must agree. Where the stack changed a change of level is likely: there the
comparison alone is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaudi_perf.statistics.sample import FloatArray, RunSample, robust_spread
from gaudi_perf.statistics.verdict import Comparison, ComparisonSettings, compare
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.verdict import VerdictKind

NEAREST_SESSIONS = 10
"""How many sessions on each side of a split are compared: older ones say little of what changed there."""

_PENALTY = 3.0
"""In units of variance times log(sessions): the usual choice is between 2 (BIC for a known place) and 4."""
_SMALLEST_SPREAD = 1e-4
_CHANGED = (VerdictKind.REGRESSED, VerdictKind.IMPROVED)


@dataclass(frozen=True)
class ChangePoint:
    """The first session (``index``) of another level: REGRESSED or IMPROVED, new level to old; 1.08 is 8 % slower."""

    index: int
    kind: VerdictKind
    ratio: float
    low: float
    high: float


def change_points(
    levels_s: Sequence[float],
    runs_of: Callable[[int], Sequence[RunSample]],
    *,
    suspects: Sequence[int] = (),
    tolerance: float = TOLERANCES[LATENCY],
) -> list[ChangePoint]:
    """Find the sessions at which the level of a case changed, in order.

    Args:
        levels_s: the level of each session in seconds, in order.
        runs_of: the valid runs of a session, by its index. Asked only near possible changes: a history can be long.
        suspects: sessions at which something is known to have changed, the stack for instance.
        tolerance: the largest slowdown that is accepted; changes below half of it are not reported.

    Raises:
        ValueError: a session has no runs, or the tolerance is not a share above 0.
    """
    count = len(levels_s)
    if count < 2:
        return []
    level = np.log(np.asarray(levels_s, dtype=np.float64))
    known: dict[int, list[RunSample]] = {}

    def runs(first: int, end: int) -> list[RunSample]:
        for session in range(first, end):
            if session not in known:  # labels make sessions different, whatever the caller calls them
                known[session] = [replace(sample, session=str(session)) for sample in runs_of(session)]
        return [sample for session in range(first, end) for sample in known[session]]

    worth = {index for index in suspects if 0 < index < count and abs(_step(level, index)) > tolerance / 4}
    splits = sorted(worth.union(_proposals(level)))
    # All possible splits share the permitted probability of a change in a series without any.
    settings = ComparisonSettings(false_alarms=ComparisonSettings.false_alarms / (count - 1))
    compared: dict[tuple[int, int, int], Comparison] = {}
    while splits:
        bounds = [0, *splits, count]
        found = []
        for left, split, right in zip(bounds[:-2], splits, bounds[2:], strict=True):
            key = (max(left, split - NEAREST_SESSIONS), split, min(right, split + NEAREST_SESSIONS))
            if key not in compared:
                compared[key] = compare(
                    runs(split, key[2]), runs(key[0], split), tolerance=tolerance, settings=settings
                )
            found.append(compared[key])
        doubtful = [place for place, one in enumerate(found) if one.kind not in _CHANGED]
        if not doubtful:
            return [
                ChangePoint(split, one.kind, one.ratio, one.low, one.high)
                for split, one in zip(splits, found, strict=True)
            ]
        # The weakest goes first: its sessions then speak for its neighbours.
        del splits[max(doubtful, key=lambda place: min(found[place].p_slower, found[place].p_faster))]
    return []


def _step(level: FloatArray, index: int) -> float:
    """About how much a split changes the logarithm of the level."""
    return float(
        np.median(level[index : index + NEAREST_SESSIONS]) - np.median(level[max(0, index - NEAREST_SESSIONS) : index])
    )


def _proposals(level: FloatArray) -> list[int]:
    """The splits that ruptures proposes, of log levels by session."""
    if level.size < 3:
        return list(range(1, level.size))
    from ruptures import KernelCPD  # takes a third of a second to import

    steps = np.diff(level)
    # Of two neighbours on one level the difference has twice the variance; the median ignores the few real steps.
    spread = max(robust_spread(steps - np.median(steps)) / math.sqrt(2), _SMALLEST_SPREAD)
    penalty = _PENALTY * math.log(level.size) * spread**2
    found = KernelCPD(kernel="linear", min_size=1).fit(level[:, None]).predict(pen=penalty)
    return [int(index) for index in found[:-1]]
