"""From runs to a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.verdict import VerdictKind

_FALSE_ALARMS = 0.005
_POWER = 0.9


@dataclass(frozen=True)
class UsualNoise:
    """How far runs of the same code usually lie apart, and how much that knowledge is worth.

    Attributes:
        spread: standard deviation of the logarithm of a run's median, 0.02 for 2 %.
        runs: worth as many degrees of freedom.
    """

    spread: float = 0.02
    runs: float = 3.0


@dataclass(frozen=True)
class Comparison:
    """The outcome of comparing runs.

    Attributes:
        kind: the verdict.
        ratio: level of the candidate to that of the baseline; 1.096 is 9.6 % slower.
        low: lower end of the interval of the ratio.
        high: upper end.
        confidence: of that interval.
        tolerance: the slowdown that nobody minds.
        smallest_visible_slowdown: what this comparison would have called REGRESSED in nine of ten cases.
        spread: the spread between runs that was used, as a share.
        reason: why, in a sentence.
        advice: what would help, in a sentence, or empty.
    """

    kind: VerdictKind
    ratio: float
    low: float
    high: float
    confidence: float
    tolerance: float
    smallest_visible_slowdown: float
    spread: float
    reason: str
    advice: str = ""


def compare(
    candidate: Sequence[RunSample],
    baseline: Sequence[RunSample],
    *,
    tolerance: float = 0.05,
    usual_noise: UsualNoise | None = None,
) -> Comparison:
    """Compare runs with runs.

    Runs, not rounds, are the unit of evidence (Kalibera and Jones 2013): rounds of one process share its luck. The
    levels are the logarithms of the runs' medians; their common variance is the usual one, moderated by what these
    runs show (Smyth 2004), and the interval is Student's.

    Raises:
        ValueError: a side has no runs.
    """
    if not candidate or not baseline:
        raise ValueError("both sides need at least one run")
    ours = np.array([sample.level for sample in candidate])
    theirs = np.array([sample.level for sample in baseline])
    noise = usual_noise or UsualNoise()
    squares = float(((ours - ours.mean()) ** 2).sum() + ((theirs - theirs.mean()) ** 2).sum())
    freedom = len(ours) + len(theirs) - 2
    variance = (noise.runs * noise.spread**2 + squares) / (noise.runs + freedom)
    error = math.sqrt(variance * (1 / len(ours) + 1 / len(theirs)))
    known = f"{len(ours)} against {_runs(len(theirs))}, which lie {math.sqrt(variance):.1%} apart"
    return _decide(
        float(ours.mean() - theirs.mean()), error, noise.runs + freedom, tolerance, math.sqrt(variance), known
    )


def compare_with_published(
    candidate: Sequence[RunSample],
    published_seconds: float,
    *,
    tolerance: float = 0.05,
    usual_noise: UsualNoise | None = None,
) -> Comparison:
    """Compare runs with a published number, of which no spread is known: it counts as a single run.

    Raises:
        ValueError: there are no runs, or the number is no duration.
    """
    single = RunSample(rounds=np.array([published_seconds], dtype=np.float64))
    return compare(candidate, [single], tolerance=tolerance, usual_noise=usual_noise)


def _decide(difference: float, error: float, freedom: float, tolerance: float, spread: float, known: str) -> Comparison:
    from scipy.stats import t

    width = float(t.ppf(1 - _FALSE_ALARMS, freedom))
    ratio, low, high = (math.exp(difference + sign * width * error) for sign in (0, -1, 1))
    visible = max(math.exp((width + float(t.ppf(_POWER, freedom))) * error) - 1, tolerance / 2)
    advice = ""
    if low > 1 and ratio >= 1 + tolerance / 2:
        kind, reason = VerdictKind.REGRESSED, f"the whole interval is above the baseline ({known})"
        advice = "Look at what changed in the stack; measure more runs (--runs 5) to narrow the interval."
    elif high < 1 and ratio <= 1 / (1 + tolerance / 2):
        kind, reason = VerdictKind.IMPROVED, f"the whole interval is below the baseline ({known})"
    elif high < 1 + 2 * tolerance and visible <= 2 * tolerance:
        kind = VerdictKind.UNCHANGED
        reason = f"no slowdown that matters; one of {visible:.1%} would have been seen ({known})"
    else:
        kind = VerdictKind.INCONCLUSIVE
        reason = f"a slowdown of less than {visible:.1%} would not have been seen ({known})"
        advice = "More runs on both sides would settle it: --runs 5, or a quieter machine."
    return Comparison(
        kind=kind,
        ratio=ratio,
        low=low,
        high=high,
        confidence=1 - 2 * _FALSE_ALARMS,
        tolerance=tolerance,
        smallest_visible_slowdown=visible,
        spread=spread,
        reason=reason,
        advice=advice,
    )


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
