"""Comparisons replayed on runs of the same code: what they say where nothing changed, or where a slowdown is put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.formats import counted


@dataclass(frozen=True)
class Sides:
    """Runs drawn for one comparison."""

    candidate: list[RunSample]
    baseline: list[RunSample]


def draw_stored(history: Sequence[RunSample], candidates: int, baselines: int, rng: np.random.Generator) -> Sides:
    """Draw runs for a comparison with stored runs.

    With labelled sessions, the candidate's runs are from one session and the baseline's from others. Without labels,
    both are stretches of neighbouring runs that do not overlap, for neighbours share their luck. The history wraps
    around.

    Args:
        history: runs of the same code, in the order of measurement.
        candidates: how many runs of the candidate.
        baselines: how many runs of the baseline.
        rng: the source of randomness.

    Raises:
        ValueError: the history is too short.
    """
    sessions: dict[str, list[RunSample]] = {}
    for sample in history:
        sessions.setdefault(sample.session, []).append(sample)
    if len(sessions) > 1:
        long_enough = [label for label, runs in sessions.items() if len(runs) >= candidates]
        if not long_enough or len(history) - max(len(runs) for runs in sessions.values()) < baselines:
            raise ValueError(f"the history has too few runs for {candidates} against {baselines}")
        tonight = long_enough[int(rng.integers(len(long_enough)))]
        own = sessions[tonight]
        begin = int(rng.integers(len(own) - candidates + 1))
        # Whole sessions, one after the other, until there are enough runs.
        others = [label for label in sessions if label != tonight]
        order = rng.permutation(len(others))
        pool = [sample for number in order for sample in sessions[others[number]]]
        return Sides(own[begin : begin + candidates], pool[:baselines])
    spare = len(history) - candidates - baselines
    if spare < 0:
        raise ValueError(f"the history has {counted(len(history), 'run')}, and {candidates + baselines} are needed")
    gap = int(rng.integers(spare + 1))
    begin = int(rng.integers(len(history)))
    rolled = [history[(begin + offset) % len(history)] for offset in range(len(history))]
    return Sides(rolled[baselines + gap :][:candidates], rolled[:baselines])


def draw_pairs(history: Sequence[RunSample], pairs: int, rng: np.random.Generator) -> Sides:
    """Draw pairs of neighbouring runs for a comparison side by side; which of a pair is the candidate's is random.

    Args:
        history: runs of the same code, in the order of measurement; pairs are the first two, the next two, and so on.
        pairs: how many.
        rng: the source of randomness.

    Raises:
        ValueError: the history is too short.
    """
    available = len(history) // 2
    if available < pairs:
        raise ValueError(f"the history has {counted(available, 'pair')} of runs, and {pairs} are needed")
    begin = int(rng.integers(available))
    sides = Sides([], [])
    for offset in range(pairs):
        first = 2 * ((begin + offset) % available)
        pair = [history[first], history[first + 1]]
        ours = int(rng.integers(2))
        sides.candidate.append(pair[ours])
        sides.baseline.append(pair[1 - ours])
    return sides
