"""Self-audit: how often the verdicts of this installation are wrong, measured on its own history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gaudi_perf.statistics.evidence import Evidence, Layout, gather, with_slowdown
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.replay import Sides, draw_pairs, draw_stored
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.statistics.verdict import ComparisonSettings, decide
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.verdict import VerdictKind

_SLOWDOWNS = (0.0, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Design:
    """The comparison that is replayed.

    Attributes:
        candidates: runs of the candidate (pairs, side by side).
        baselines: runs of the baseline; not used side by side.
        side_by_side: whether runs are compared in pairs of neighbours.
    """

    candidates: int = 3
    baselines: int = 5
    side_by_side: bool = False


@dataclass(frozen=True)
class Audit:
    """Error rates of a comparison on a history.

    Attributes:
        shares: of each verdict, by slowdown.
        false_alarms: share of REGRESSED without a slowdown.
        false_alarms_high: upper end of its 95 % interval (Clopper and Pearson 1934), were the replays independent; they
            share runs, so with a short history it is too low.
        smallest_detectable_slowdown: the smallest replayed slowdown called REGRESSED in at least ``power`` of the
            replays; None if none was.
        wrong_unchanged: share of UNCHANGED at the smallest replayed slowdown of at least twice the tolerance.
    """

    shares: Mapping[float, Mapping[VerdictKind, float]]
    false_alarms: float
    false_alarms_high: float
    smallest_detectable_slowdown: float | None
    wrong_unchanged: float


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
        history: runs of the same case on the same stack, in the order of measurement, with sessions where known.
        design: the comparison to replay.
        tolerance: the slowdown that nobody minds.
        prior: what is known about the noise here; or learns it for the runs that are drawn, which teach nothing.
        repeats: comparisons per slowdown. The same draws serve all slowdowns.

    Raises:
        ValueError: the history is too short for the design, or there is nothing to repeat.
    """
    from scipy.stats import binomtest

    if repeats < 1:
        raise ValueError("an audit needs at least one repeat")
    settings = ComparisonSettings()
    wanted = sorted({0.0, 2 * tolerance, *_SLOWDOWNS})
    counts: dict[float, Counter[VerdictKind]] = {slowdown: Counter() for slowdown in wanted}
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        evidence = _draw(history, design, prior or NoisePrior(), rng)
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


def _draw(
    history: Sequence[RunSample],
    design: Design,
    prior: Callable[[Sides], NoisePrior] | NoisePrior,
    rng: np.random.Generator,
) -> Evidence:
    if design.side_by_side:
        sides = draw_pairs(history, design.candidates, rng)
    else:
        sides = draw_stored(history, design.candidates, design.baselines, rng)
    layout = Layout.SIDE_BY_SIDE if design.side_by_side else Layout.STORED
    known = prior if isinstance(prior, NoisePrior) else prior(sides)
    return gather(sides.candidate, sides.baseline, layout, known)
