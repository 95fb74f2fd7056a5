"""Self-audit: how often the verdicts of this installation are wrong, measured on its own history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gaudi_perf.statistics.evidence import Layout, gather, with_slowdown
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import RunSample, Sides, by_session
from gaudi_perf.statistics.verdict import ComparisonSettings, decide
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.metrics import LATENCY, RUNS_FOR_BASELINES, TOLERANCES
from gaudi_perf.vocabulary.verdict import VerdictKind

_SLOWDOWNS = (0.0, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Design:
    """The comparison that is replayed: runs of the candidate (pairs, side by side) and of the baseline."""

    candidates: int = 3
    baselines: int = RUNS_FOR_BASELINES
    side_by_side: bool = False


@dataclass(frozen=True)
class Audit:
    """Error rates of a comparison on a history: the share of each verdict by slowdown, and what follows from them.

    Attributes:
        false_alarms: share of REGRESSED without a slowdown.
        false_alarms_high: upper end of its 95 % interval (Clopper and Pearson 1934), were the replays independent; they
            share runs, so with a short history it is too low.
        smallest_detectable_slowdown: the smallest replayed one called REGRESSED in at least ``power`` of the replays.
        wrong_unchanged: share of UNCHANGED at twice the tolerance.
    """

    shares: Mapping[float, Mapping[VerdictKind, float]]
    false_alarms: float
    false_alarms_high: float
    smallest_detectable_slowdown: float | None
    wrong_unchanged: float


def slowdowns(tolerance: float) -> list[float]:
    """What is replayed with a tolerance, in order."""
    return sorted({0.0, 2 * tolerance, *_SLOWDOWNS})


def audit(
    history: Sequence[RunSample],
    design: Design,
    *,
    tolerance: float = TOLERANCES[LATENCY],
    prior: Callable[[Sides], NoisePrior] | NoisePrior | None = None,
    repeats: int = 200,
) -> Audit:
    """Replay comparisons on a history of the same code, without and with injected slowdowns.

    Args:
        history: in the order of measurement, with sessions where known.
        prior: what is known about the noise here; or learns it for the runs that are drawn, which teach nothing.
        repeats: comparisons per slowdown. The same draws serve all slowdowns.

    Raises:
        ValueError: the history is too short for the design, or there is nothing to repeat.
    """
    from scipy.stats import binomtest

    if repeats < 1:
        raise ValueError("an audit needs at least one repeat")
    settings = ComparisonSettings()
    wanted = slowdowns(tolerance)
    counts: dict[float, Counter[VerdictKind]] = {slowdown: Counter() for slowdown in wanted}
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        if design.side_by_side:
            sides, layout = draw_pairs(history, design.candidates, rng), Layout.SIDE_BY_SIDE
        else:
            sides, layout = draw_stored(history, design.candidates, design.baselines, rng), Layout.STORED
        evidence = gather(sides.candidate, sides.baseline, layout, prior(sides) if callable(prior) else prior)
        for slowdown in wanted:
            counts[slowdown][decide(with_slowdown(evidence, slowdown), tolerance, settings).kind] += 1
    shares = {slowdown: {kind: count[kind] / repeats for kind in VerdictKind} for slowdown, count in counts.items()}
    alarms = counts[0.0][VerdictKind.REGRESSED]
    detected = [
        slowdown for slowdown in wanted if slowdown > 0 and shares[slowdown][VerdictKind.REGRESSED] >= settings.power
    ]
    return Audit(
        shares=shares,
        false_alarms=alarms / repeats,
        false_alarms_high=float(binomtest(alarms, repeats).proportion_ci(0.95, method="exact").high),
        smallest_detectable_slowdown=min(detected, default=None),
        wrong_unchanged=shares[2 * tolerance][VerdictKind.UNCHANGED],
    )


def draw_stored(history: Sequence[RunSample], candidates: int, baselines: int, rng: np.random.Generator) -> Sides:
    """Draw runs for a comparison with stored runs.

    With labelled sessions, the candidate's runs are from one session and the baseline's from others. Without labels,
    both are stretches of neighbouring runs that do not overlap, for neighbours share their luck. The history wraps
    around. ValueError if it is too short.
    """
    sessions = by_session(history)
    if len(sessions) > 1:
        long_enough = [label for label, runs in sessions.items() if len(runs) >= candidates]
        if not long_enough or len(history) - max(len(runs) for runs in sessions.values()) < baselines:
            raise ValueError(f"the history has too few runs for {candidates} against {baselines}")
        chosen = long_enough[int(rng.integers(len(long_enough)))]
        own = sessions.pop(chosen)
        begin = int(rng.integers(len(own) - candidates + 1))
        # Whole sessions, one after the other, until there are enough runs.
        others = list(sessions.values())
        pool = [sample for number in rng.permutation(len(others)) for sample in others[number]]
        return Sides(own[begin : begin + candidates], pool[:baselines])
    spare = len(history) - candidates - baselines
    if spare < 0:
        raise ValueError(f"the history has {counted(len(history), 'run')}, and {candidates + baselines} are needed")
    gap = int(rng.integers(spare + 1))
    begin = int(rng.integers(len(history)))
    rolled = [history[(begin + offset) % len(history)] for offset in range(len(history))]
    return Sides(rolled[baselines + gap :][:candidates], rolled[:baselines])


def draw_pairs(history: Sequence[RunSample], pairs: int, rng: np.random.Generator) -> Sides:
    """Draw pairs of neighbouring runs of a session (its first two, its next two, ...) for a comparison side by side.

    Which of a pair is the candidate's is random. ValueError if the history is too short.
    """
    there = [pair for runs in by_session(history).values() for pair in zip(runs[::2], runs[1::2], strict=False)]
    if len(there) < pairs:
        raise ValueError(f"the history has {counted(len(there), 'pair')} of runs of a session, and {pairs} are needed")
    begin = int(rng.integers(len(there)))
    sides = Sides([], [])
    for offset in range(pairs):
        pair = there[(begin + offset) % len(there)]
        ours = int(rng.integers(2))
        sides.candidate.append(pair[ours])
        sides.baseline.append(pair[1 - ours])
    return sides
