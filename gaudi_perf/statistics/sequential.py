"""Sequential testing: interim analyses after every run, until the verdict is clear.

Analysing again and again with the level of a single analysis would raise false alarms several times over. The permitted
error is therefore spent over the analyses (Lan and DeMets 1983; a power family: Kim and DeMets 1987): after a share t
of the most runs, at most ``sqrt(t)`` of that of REGRESSED and IMPROVED has been spent, and ``t**0.3`` of that of
UNCHANGED: early, for most comparisons find nothing. The level of each analysis follows from the joint distribution of
all, which have independent increments (Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, chapter 19), and
is applied to the posterior probabilities (the significance level approach, ibid. section 4.4). Stopping at any
analysis, for any reason, keeps the error. Against a stored baseline the analyses share the baseline's random error
and resemble each other more than assumed, which only lowers the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gaudi_perf.statistics.evidence import Evidence
from gaudi_perf.statistics.verdict import (
    Comparison,
    ComparisonSettings,
    decide,
    error_with,
    largest_unchanged,
    material,
)
from gaudi_perf.vocabulary.verdict import StopReason, VerdictKind

_GRID = 801
_FAR = 8.0
_FUTILE = 0.05

_INTERIM_POWER = 0.5
"""What "would have been detected" means at an interim analysis. All of them together detect far more: what one does not
detect, later ones do, and any calls a slowdown of twice the tolerance UNCHANGED with no more than the permitted error.
"""

_SPENDING, _SPENDING_UNCHANGED = 0.5, 0.3
_MISSING = 2.0
"""All analyses together may call a slowdown of twice the tolerance UNCHANGED twice as often as they may raise a false
alarm: 1 % of comparisons by default."""


@dataclass(frozen=True)
class StoppingPlan:
    """When interim analyses take place: after the first and every further run of the candidate (pair, side by side).

    Raises:
        ValueError: the first analysis is not after 1 to the most runs.
    """

    most: int
    first: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.most:
            raise ValueError(f"the first interim analysis is after 1 to {self.most} runs, not after {self.first}")


@dataclass(frozen=True)
class InterimAnalysis:
    """The comparison so far, and why no more runs are needed; the comparison is the final one if ``stop`` is set."""

    comparison: Comparison
    stop: StopReason


def analyze(
    evidence: Evidence,
    plan: StoppingPlan,
    tolerance: float,
    settings: ComparisonSettings,
    *,
    budget_spent: bool = False,
) -> InterimAnalysis:
    """Analyse all runs so far, after every one (pair) from the plan's first analysis on: whether more are needed.

    Error rates are those of all analyses together; the last one is where the budget is spent.

    Raises:
        ValueError: fewer runs than the plan's first analysis needs, or more than its most.
    """
    count = evidence.candidate_runs
    if not plan.first <= count <= plan.most:
        raise ValueError(f"an interim analysis needs {plan.first} to {plan.most} runs, and there are {count}")
    errors = interim_levels(plan.first, plan.most, settings.false_alarms, _SPENDING)
    missing = interim_levels(plan.first, plan.most, min(_MISSING * settings.false_alarms, 0.5), _SPENDING_UNCHANGED)
    number = count - plan.first
    easy = replace(settings, power=_INTERIM_POWER)
    comparison = decide(evidence, tolerance, easy, error=errors[number], missing=missing[number])
    if comparison.kind != VerdictKind.INCONCLUSIVE:
        return InterimAnalysis(comparison, StopReason.CLEAR)
    if count == plan.most or budget_spent:
        return InterimAnalysis(comparison, StopReason.BUDGET)
    futile = count > plan.first and _chance(evidence, plan.most - count, tolerance, errors[-1]) < _FUTILE
    return InterimAnalysis(comparison, StopReason.FUTILE if futile else StopReason.NOT_YET)


def _chance(evidence: Evidence, more: int, tolerance: float, final: float) -> float:
    """About how probable a clear verdict is at the end of the plan, from what is known now."""
    from scipy.special import ndtr, ndtri

    known = evidence.posterior
    reach = -float(ndtri(final))
    spread_now = known.spread
    shrink = error_with(evidence, more) / error_with(evidence, 0)
    spread_then = spread_now * math.sqrt(shrink)
    # The estimate at the end, seen from now.
    doubt = max(spread_now * math.sqrt(max(1 - shrink, 0.0)), 1e-9)
    needed = max(reach * spread_then, material(tolerance))
    largest = largest_unchanged(tolerance)
    limit = largest - reach * spread_then
    regressed = ndtr((known.mean - needed) / doubt)
    improved = ndtr((-needed - known.mean) / doubt)
    unchanged = 0.0
    if limit > -needed and largest > (reach + 1.28) * spread_then:
        unchanged = ndtr((min(limit, needed) - known.mean) / doubt) - ndtr((-needed - known.mean) / doubt)
    return float(regressed + improved + max(unchanged, 0.0))


def _excess(bound: float, points: np.ndarray, weights: np.ndarray, step: float, permitted: float) -> float:
    """By how much the probability of crossing the bound at an analysis is more than what is permitted."""
    from scipy.special import ndtr

    return float(weights @ ndtr((points - bound) / step) - permitted)


@lru_cache(maxsize=256)
def interim_levels(first: int, most: int, error: float, power: float) -> tuple[float, ...]:
    """The one-sided level of each interim analysis: after ``first`` runs, and after every further one up to ``most``.

    Crossing any of them has probability ``error`` if nothing changed. After a share t of the most runs, ``t**power`` of
    it may have been spent.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    times = np.arange(first, most + 1) / most
    spent = error * times**power
    bound = -float(ndtri(spent[0])) * math.sqrt(times[0])
    levels = [float(spent[0])]
    points = np.linspace(-_FAR * math.sqrt(times[0]), bound, _GRID)
    density = np.exp(-(points**2) / (2 * times[0])) / math.sqrt(2 * math.pi * times[0])
    for number in range(1, times.size):
        step = math.sqrt(times[number] - times[number - 1])
        weights = density * np.gradient(points)
        weights[[0, -1]] /= 2  # the trapezoidal rule

        top = _FAR * math.sqrt(times[number])
        bound = float(brentq(_excess, 0.0, top, (points, weights, step, spent[number] - spent[number - 1]), xtol=1e-10))
        levels.append(float(ndtr(-bound / math.sqrt(times[number]))))
        following = np.linspace(-top, bound, _GRID)
        kernel = np.exp(-((following[:, None] - points[None, :]) ** 2) / (2 * step**2))
        density = kernel @ weights / (step * math.sqrt(2 * math.pi))
        points = following
    return tuple(levels)
