"""What a comparison could have seen, and what would help it to see more."""

from __future__ import annotations

import math

from gaudi_perf.statistics.covariates import TAIL_SPREAD_DOUBT
from gaudi_perf.statistics.evidence import Evidence
from gaudi_perf.vocabulary.verdict import Advice

LARGEST = 50.0
"""Logarithms of ratios are cut off here: two or three runs of nothing in common leave almost anything possible."""

_MOST_RUNS = 200
_WORTH_MENTIONING = 0.01
_MOSTLY = 0.5
"""As a share of the standard error: what is more than this of it is most of its variance, about."""


def visible_slowdown(evidence: Evidence, false_alarms: float, power: float, tolerance: float) -> float:
    """The smallest slowdown (0.03 for 3 %) that such a comparison calls REGRESSED with probability ``power``.

    It is the distance from the best estimate to the lower end of the interval (a slowdown must clear it), plus that to
    the upper quantile of order ``power`` (its estimate may come out lower); and at least half the tolerance plus the
    latter, for slowdowns whose estimate is below half the tolerance are not called.
    """
    known = evidence.posterior
    centre = known.quantile(0.5)
    luck = known.quantile(power) - centre
    clear = centre - known.quantile(false_alarms)
    return math.expm1(min(max(clear, material(tolerance)) + luck, LARGEST))


def material(tolerance: float) -> float:
    """Half the tolerance, in logarithms: best estimates below it are not worth a verdict."""
    return math.log1p(tolerance) / 2


def advise(
    evidence: Evidence, visible: float, limit: float, false_alarms: float, power: float
) -> tuple[Advice, int | None]:
    """How an INCONCLUSIVE comparison could be settled.

    Args:
        evidence: what is known.
        visible: the smallest slowdown that this comparison detects.
        limit: the smallest slowdown that it should detect.
        false_alarms: permitted rate of false REGRESSED.
        power: wanted rate of detection.

    Returns:
        What to do; and how many more runs of the candidate (of each side, side by side) are about enough, if any are.
    """
    from scipy.special import ndtri

    if abs(evidence.unusual_shift) > _WORTH_MENTIONING and not evidence.side_by_side:
        return Advice.CHECK_MACHINE, None
    known = evidence.posterior
    spread = (known.quantile(0.841) - known.quantile(0.159)) / 2
    if abs(evidence.tail_spread_shift) * TAIL_SPREAD_DOUBT > _MOSTLY * spread:
        return Advice.CHECK_ROUNDS, None
    if _only_a_slow_session(evidence, limit, false_alarms):
        return Advice.ANOTHER_SESSION, None
    # Never more than the noise that made this comparison blind, or more runs would be promised than help.
    reach = float(ndtri(1 - false_alarms) + ndtri(power))
    wanted = (math.log1p(limit) / reach) ** 2
    now = (math.log1p(visible) / reach) ** 2
    for more in range(1, _MOST_RUNS + 1):
        if now * error_with(evidence, more) / error_with(evidence, 0) <= wanted:
            return Advice.MORE_RUNS, more
    return (Advice.QUIETER_MACHINE if evidence.side_by_side else Advice.SIDE_BY_SIDE), None


def _only_a_slow_session(evidence: Evidence, limit: float, error: float) -> bool:
    """Whether it would be settled, if only no session were slow."""
    normal = evidence.normal
    if normal is None:
        return False
    return min(normal.below(0.0), normal.above(0.0), normal.above(math.log1p(limit))) <= error


def error_with(evidence: Evidence, more: int) -> float:
    """The squared error of the logarithm of the ratio with so many more runs, from the spreads that were found."""
    runs = evidence.noise.run**2
    if evidence.side_by_side:
        return 2 * runs / (evidence.candidate_runs + more)
    sessions = evidence.noise.session**2 * (1 / evidence.candidate_groups + 1 / evidence.baseline_groups)
    return sessions + runs * (1 / (evidence.candidate_runs + more) + 1 / evidence.baseline_runs)
