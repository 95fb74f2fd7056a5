"""What a comparison could have seen, and what would help it to see more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gaudi_perf.statistics.evidence import Evidence
from gaudi_perf.statistics.signs import UNREST_DOUBT

LARGEST = 50.0
"""Logarithms of ratios are cut off here: two or three runs of nothing in common leave almost anything possible."""

_MOST_RUNS = 200
_WORTH_MENTIONING = 0.01
_MOSTLY = 0.5
"""As a share of the standard error: what is more than this of it is most of its variance, about."""


@dataclass(frozen=True)
class Advice:
    """What would settle a comparison.

    Attributes:
        runs: how many more runs of the candidate (of each side, side by side) are about enough; None if no number is.
        text: a sentence.
    """

    runs: int | None
    text: str


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
    evidence: Evidence, visible: float, limit: float, seconds_per_run: float | None, false_alarms: float, power: float
) -> Advice:
    """How an INCONCLUSIVE comparison could be settled.

    Args:
        evidence: what is known.
        visible: the smallest slowdown that this comparison sees.
        limit: the smallest slowdown that it should see.
        seconds_per_run: what another run takes, or None where unknown.
        false_alarms: permitted rate of false REGRESSED.
        power: wanted rate of detection.
    """
    from scipy.special import ndtri

    if abs(evidence.unusual_shift) > _WORTH_MENTIONING and not evidence.side_by_side:
        assert evidence.probe_shift is not None
        word = "slower" if evidence.probe_shift > 0 else "faster"
        change = abs(math.expm1(evidence.probe_shift))
        text = (
            f"By its reference probes the machine is {change:.1%} {word} than it was for the baseline: find out why, "
            "measure again, or measure both stacks side by side."
        )
        return Advice(None, text)
    known = evidence.posterior
    spread = (known.quantile(0.841) - known.quantile(0.159)) / 2
    if abs(evidence.unusual_unrest) * UNREST_DOUBT > _MOSTLY * spread:
        word = "more" if evidence.unusual_unrest > 0 else "less"
        text = (
            f"The rounds are {word} uneven than the baseline's, by {abs(math.expm1(evidence.unusual_unrest)):.1%}: a "
            "disturbed machine does that, and software that stalls now and then. More runs cannot tell which: look at "
            "the rounds (gaudi-perf report --html)."
        )
        return Advice(None, text)
    if _only_a_slow_night(evidence, limit, false_alarms):
        text = (
            "A slow night would explain it, and nothing here would show one: measure on another night, or with "
            "reference probes, or both stacks side by side."
        )
        return Advice(None, text)
    # Never more than the noise that made this comparison blind, or more runs would be promised than help.
    reach = float(ndtri(1 - false_alarms) + ndtri(power))
    wanted = (math.log1p(limit) / reach) ** 2
    now = (math.log1p(visible) / reach) ** 2
    for more in range(1, _MOST_RUNS + 1):
        if now * error_with(evidence, more) / error_with(evidence, 0) <= wanted:
            return Advice(more, _more_runs(evidence, more, seconds_per_run))
    if evidence.side_by_side:
        return Advice(None, f"Not even {_MOST_RUNS} more pairs of runs would settle it: a quieter machine is needed.")
    return Advice(
        None,
        "More runs tonight cannot settle it, for nights differ and few are known: measure both stacks side by side, "
        "or store baselines of several nights.",
    )


def _only_a_slow_night(evidence: Evidence, limit: float, error: float) -> bool:
    """Whether it would be settled, if only no night were slow."""
    normal = evidence.normal
    if normal is None:
        return False
    return min(normal.below(0.0), normal.above(0.0), normal.above(math.log1p(limit))) <= error


def error_with(evidence: Evidence, more: int) -> float:
    """The squared error of the logarithm of the ratio with so many more runs, from the spreads that were found."""
    runs = evidence.noise.run**2
    if evidence.side_by_side:
        return 2 * runs / (evidence.candidate_runs + more)
    nights = evidence.noise.night**2 * (1 / evidence.candidate_groups + 1 / evidence.baseline_groups)
    return nights + runs * (1 / (evidence.candidate_runs + more) + 1 / evidence.baseline_runs)


def _more_runs(evidence: Evidence, more: int, seconds_per_run: float | None) -> str:
    each = " of each stack" if evidence.side_by_side else ""
    cost = ""
    if seconds_per_run is not None:
        total = seconds_per_run * more * (2 if evidence.side_by_side else 1)
        cost = f", {_duration(total)}"
    text = f"About {more} more {'run' if more == 1 else 'runs'}{each}{cost} would settle it."
    if evidence.median_error > 0.7 * evidence.noise.run:
        text += " Most of the spread comes from few rounds per run: more rounds are cheaper than more runs."
    return text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
