"""As many runs as it takes, no more: a comparison that may be looked at after every run.

Looking again and again with the level of a single look would raise false alarms several times over. The permitted error
is therefore spent over the looks (Lan and DeMets 1983; a power family: Kim and DeMets 1987): after a share t of the
most runs, at most ``sqrt(t)`` of that of REGRESSED and IMPROVED has been spent, and ``t**0.3`` of that of UNCHANGED:
early, for stopping early is what is wanted, and most comparisons find nothing. The level of each look follows from the
joint distribution of the looks, which have independent increments (Armitage, McPherson and Rowe 1969; Jennison and
Turnbull 2000, chapter 19), and is applied to the posterior probabilities (the significance level approach, ibid.
section 4.4). Stopping at any look, for any reason, keeps the error. A confidence sequence (Howard et al. 2021) would
allow looks without end; a most number of runs is known here, and knowing it makes the looks sharper.

Against a stored baseline the looks share the baseline's luck and resemble each other more than assumed, which only
lowers the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

import numpy as np

from gaudi_perf.statistics.evidence import Evidence, from_interleaved, from_side_by_side, from_stored
from gaudi_perf.statistics.noise import UsualNoise
from gaudi_perf.statistics.planning import error_with, material
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.statistics.verdict import Comparison, ComparisonSettings, decide
from gaudi_perf.vocabulary.verdict import VerdictKind

_GRID = 801
_FAR = 8.0
_HOPELESS = 0.05

_POWER_OF_A_LOOK = 0.5
"""What "would have seen" means at a look. The plan as a whole sees far more: what a look does not see, later ones do,
and a slowdown of twice the tolerance is called UNCHANGED by any look with no more than the permitted error."""


_SPENDING, _SPENDING_UNCHANGED = 0.5, 0.3
_MISSING = 2.0
"""All looks together may call a slowdown of twice the tolerance UNCHANGED twice as often as they may raise a false
alarm: 1 % of comparisons by default."""


class Layout(str, Enum):
    """How runs of the two sides belong together."""

    STORED = "stored"
    SIDE_BY_SIDE = "side by side"
    INTERLEAVED = "interleaved"


class Stop(str, Enum):
    """Why no more runs are needed."""

    NOT_YET = ""
    CLEAR = "the verdict is clear"
    BUDGET = "the budget is spent"
    HOPELESS = "more runs within the budget cannot settle it"


@dataclass(frozen=True)
class Plan:
    """When looks may be taken.

    Attributes:
        most: the most runs of the candidate (pairs, side by side).
        first: the first look is after so many.
    """

    most: int
    first: int = 3

    def __post_init__(self) -> None:
        """Refuse a plan without looks.

        Raises:
            ValueError: the first look is not between 1 and the most runs.
        """
        if not 1 <= self.first <= self.most:
            raise ValueError(f"a plan's first look is after 1 to {self.most} runs, not after {self.first}")


@dataclass(frozen=True)
class Look:
    """What a look came to.

    Attributes:
        comparison: the comparison at this look. It is the final one if ``stop`` is set.
        stop: why no more runs are needed.
    """

    comparison: Comparison
    stop: Stop


def look(
    candidate: Sequence[RunSample],
    baseline: Sequence[RunSample],
    plan: Plan,
    *,
    layout: Layout = Layout.STORED,
    tolerance: float = 0.05,
    usual_noise: UsualNoise | None = None,
    settings: ComparisonSettings | None = None,
    budget_spent: bool = False,
) -> Look:
    """Look at the runs so far, and say whether more are needed.

    Call it after every run (pair) from the plan's first look on, with all runs so far.

    Args:
        candidate: runs on the stack in question, so far.
        baseline: stored runs, or those measured side by side so far.
        plan: when looks may be taken.
        layout: how the runs of the two sides belong together.
        tolerance: the slowdown that nobody minds.
        usual_noise: what is known about the noise here.
        settings: permitted error rates, of all looks together.
        budget_spent: whether time has run out; then this look is the last.

    Raises:
        ValueError: fewer runs than the plan's first look needs, or more than its most.
    """
    gather = {
        Layout.STORED: from_stored,
        Layout.SIDE_BY_SIDE: from_side_by_side,
        Layout.INTERLEAVED: from_interleaved,
    }[layout]
    evidence = gather(candidate, baseline, usual_noise or UsualNoise())
    return look_at(evidence, plan, tolerance, settings or ComparisonSettings(), budget_spent=budget_spent)


def look_at(
    evidence: Evidence, plan: Plan, tolerance: float, settings: ComparisonSettings, *, budget_spent: bool = False
) -> Look:
    """The same for evidence that was gathered already.

    Raises:
        ValueError: fewer runs than the plan's first look needs, or more than its most.
    """
    count = evidence.candidate_runs
    if not plan.first <= count <= plan.most:
        raise ValueError(f"a look needs {plan.first} to {plan.most} runs, and there are {count}")
    errors = look_errors(plan.first, plan.most, settings.false_alarms, _SPENDING)
    missing = look_errors(plan.first, plan.most, min(_MISSING * settings.false_alarms, 0.5), _SPENDING_UNCHANGED)
    number = count - plan.first
    easy = replace(settings, power=_POWER_OF_A_LOOK)
    comparison = decide(evidence, tolerance, easy, error=errors[number], missing=missing[number])
    if comparison.kind != VerdictKind.INCONCLUSIVE:
        return Look(comparison, Stop.CLEAR)
    if count == plan.most or budget_spent:
        return Look(comparison, Stop.BUDGET)
    if count > plan.first and _chance(evidence, plan.most - count, tolerance, errors[-1]) < _HOPELESS:
        return Look(comparison, Stop.HOPELESS)
    return Look(comparison, Stop.NOT_YET)


def _chance(evidence: Evidence, more: int, tolerance: float, final: float) -> float:
    """About how probable a clear verdict is at the end of the plan, from what is known now."""
    from scipy.special import ndtr, ndtri

    known = evidence.posterior
    reach = -float(ndtri(final))
    spread_now = (known.quantile(0.841) - known.quantile(0.159)) / 2
    shrink = error_with(evidence, more) / error_with(evidence, 0)
    spread_then = spread_now * math.sqrt(shrink)
    # The estimate at the end, seen from now.
    doubt = max(spread_now * math.sqrt(max(1 - shrink, 0.0)), 1e-9)
    needed = max(reach * spread_then, material(tolerance))
    limit = math.log1p(2 * tolerance) - reach * spread_then
    regressed = ndtr((known.mean - needed) / doubt)
    improved = ndtr((-needed - known.mean) / doubt)
    unchanged = 0.0
    if limit > -needed and math.log1p(2 * tolerance) > (reach + 1.28) * spread_then:
        unchanged = ndtr((min(limit, needed) - known.mean) / doubt) - ndtr((-needed - known.mean) / doubt)
    return float(regressed + improved + max(unchanged, 0.0))


@lru_cache(maxsize=256)
def look_errors(first: int, most: int, error: float, power: float) -> tuple[float, ...]:
    """The one-sided level of each look, from the first to the last possible.

    Args:
        first: runs at the first look.
        most: runs at the last; there is a look after every run between.
        error: the permitted error of all looks together.
        power: after a share t of the most runs, ``t**power`` of it may have been spent.

    Returns:
        Levels, ``most - first + 1`` of them; crossing any of them has probability ``error`` if nothing changed.
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

        def crossing(
            value: float, points: np.ndarray = points, weights: np.ndarray = weights, step: float = step
        ) -> float:
            return float(weights @ ndtr((points - value) / step))

        target = float(spent[number] - spent[number - 1])
        top = _FAR * math.sqrt(times[number])
        bound = float(brentq(lambda value, target=target: crossing(value) - target, 0.0, top, xtol=1e-10))
        levels.append(float(ndtr(-bound / math.sqrt(times[number]))))
        following = np.linspace(-top, bound, _GRID)
        kernel = np.exp(-((following[:, None] - points[None, :]) ** 2) / (2 * step**2))
        density = kernel @ weights / (step * math.sqrt(2 * math.pi))
        points = following
    return tuple(levels)
