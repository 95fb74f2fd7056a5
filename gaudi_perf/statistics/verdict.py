"""From evidence to a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaudi_perf.statistics.evidence import Evidence, from_interleaved, from_side_by_side, from_stored
from gaudi_perf.statistics.noise import NoiseLevels, UsualNoise
from gaudi_perf.statistics.planning import LARGEST, advise, material, visible_slowdown
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.verdict import VerdictKind

__all__ = [
    "Comparison",
    "ComparisonSettings",
    "UsualNoise",
    "VerdictKind",
    "as_published",
    "compare",
    "compare_side_by_side",
    "compare_with_published",
    "decide",
]

_MOST_TOLD = 10.0
"""A larger share is told as "over 1000%": a few noisy runs see next to nothing, and how little has no meaning."""


@dataclass(frozen=True)
class ComparisonSettings:
    """What a comparison may get wrong.

    Attributes:
        false_alarms: permitted rate of REGRESSED where nothing changed; of IMPROVED, and of UNCHANGED where the
            slowdown is twice the tolerance, as well. The interval's confidence is 1 minus twice this.
        power: what "would have seen" means: with this probability.
        seconds_per_run: what a run costs, for advice; None where unknown.
    """

    false_alarms: float = 0.005
    power: float = 0.9
    seconds_per_run: float | None = None

    def __post_init__(self) -> None:
        """Refuse what are no rates.

        Raises:
            ValueError: a rate is not in its range.
        """
        if not (0 < self.false_alarms < 0.5 and 0.5 <= self.power < 1):
            raise ValueError("settings: false_alarms must be between 0 and 0.5, and power between 0.5 and 1")


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
        smallest_visible_slowdown: what this comparison would have called REGRESSED with the power of its settings.
        spread: the spread between runs that was used, as a share.
        reason: why, in a sentence.
        advice: what would help, in a sentence, or empty.
        p_slower: evidence against "not slower": the probability, were it not slower, of as much evidence of a slowdown.
        p_faster: the same against "not faster".
        more_runs: about how many more runs would settle it; None if nothing need be settled or no number would.
        noise: where the noise is.
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
    advice: str
    p_slower: float
    p_faster: float
    more_runs: int | None
    noise: NoiseLevels


def compare(
    candidate: Sequence[RunSample],
    baseline: Sequence[RunSample],
    *,
    tolerance: float = 0.05,
    usual_noise: UsualNoise | None = None,
    settings: ComparisonSettings | None = None,
) -> Comparison:
    """Compare runs with stored runs.

    Args:
        candidate: runs on the stack in question.
        baseline: runs that are stored.
        tolerance: the slowdown that nobody minds, 0.05 for 5 %.
        usual_noise: what is known about the noise here; the default knows little.
        settings: permitted error rates.

    Raises:
        ValueError: a side has no runs, or the tolerance is not a share above 0.
    """
    evidence = from_stored(candidate, baseline, usual_noise or UsualNoise())
    return decide(evidence, tolerance, settings or ComparisonSettings())


def compare_side_by_side(
    candidate: Sequence[RunSample],
    baseline: Sequence[RunSample],
    *,
    tolerance: float = 0.05,
    usual_noise: UsualNoise | None = None,
    settings: ComparisonSettings | None = None,
    interleaved: bool = False,
) -> Comparison:
    """Compare runs that were measured in pairs, best in the order ABBA: the first with the first, and so on.

    Args:
        candidate: runs on the stack in question.
        baseline: runs on the other stack, as many.
        tolerance: the slowdown that nobody minds, 0.05 for 5 %.
        usual_noise: what is known about the noise here; the default knows little.
        settings: permitted error rates.
        interleaved: whether the rounds of each pair were taken in turns, with both worker groups alive.

    Raises:
        ValueError: a side has no runs, their numbers differ, or the tolerance is not a share above 0.
    """
    gather = from_interleaved if interleaved else from_side_by_side
    evidence = gather(candidate, baseline, usual_noise or UsualNoise())
    return decide(evidence, tolerance, settings or ComparisonSettings())


def compare_with_published(
    candidate: Sequence[RunSample],
    published_seconds: float,
    *,
    tolerance: float = 0.05,
    usual_noise: UsualNoise | None = None,
    settings: ComparisonSettings | None = None,
) -> Comparison:
    """Compare runs with a published number, of which no spread is known: it counts as a single run of another night.

    Raises:
        ValueError: there are no runs, the number is no duration, or the tolerance is not a share above 0.
    """
    ours, theirs, usual = as_published(candidate, published_seconds, usual_noise or UsualNoise())
    evidence = from_stored(ours, theirs, usual)
    return decide(evidence, tolerance, settings or ComparisonSettings(), against="a published number of unknown spread")


def as_published(
    candidate: Sequence[RunSample], published_seconds: float, usual: UsualNoise
) -> tuple[list[RunSample], list[RunSample], UsualNoise]:
    """Both sides of a comparison with a published number, and what is known of the noise.

    The number is a single run of another night and has no probes, so those of the candidate say nothing. It is taken
    for what a usual night gave: else nothing could ever be called UNCHANGED.

    Raises:
        ValueError: the number is no duration.
    """
    single = RunSample(rounds=np.array([published_seconds], dtype=np.float64))
    stripped = [RunSample(rounds=sample.rounds, night=sample.night) for sample in candidate]
    return stripped, [single], replace(usual, slow_nights=0.0)


def decide(
    evidence: Evidence,
    tolerance: float,
    settings: ComparisonSettings,
    *,
    error: float | None = None,
    missing: float | None = None,
    against: str = "",
) -> Comparison:
    """The verdict. Each of the three certain ones has its own permitted error rate, the same for all.

    - REGRESSED: "not slower" is refused at the permitted rate, and the best estimate is at least half the tolerance.
      It need not be beyond the tolerance with certainty: then a slowdown of just the tolerance would hardly be found.
    - IMPROVED: the same, the other way.
    - UNCHANGED: the upper end of the interval is below twice the tolerance, and a slowdown of that size would have been
      seen.
    - INCONCLUSIVE: none of these.

    Args:
        evidence: what is known.
        tolerance: the slowdown that nobody minds.
        settings: permitted error rates.
        error: the permitted error rate of this look, if the comparison is looked at several times; else that of the
            settings.
        missing: the permitted rate of UNCHANGED at twice the tolerance, at this look; else ``error``.
        against: what the baseline is, if not runs.

    Raises:
        ValueError: the tolerance is not a share above 0.
    """
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance is {tolerance}, and must be a share above 0, for instance 0.05")
    nominal = settings.false_alarms if error is None else error
    missing = nominal if missing is None else missing
    known, noise = evidence.posterior, evidence.noise
    quantiles = (known.quantile(order) for order in (0.5, nominal, 1 - nominal, 1 - missing))
    estimate, low, high, most = (max(-LARGEST, min(quantile, LARGEST)) for quantile in quantiles)
    # A look's own level is turned into what it is worth overall, so that families of cases can be judged alike.
    worth = settings.false_alarms / nominal
    p_slower, p_faster = (min(1.0, worth * p) for p in (known.below(0.0), known.above(0.0)))
    limit = 2 * tolerance
    visible = visible_slowdown(evidence, nominal, settings.power, tolerance)
    # What a slow night would explain is not called REGRESSED, but it is seen: it is not called UNCHANGED either.
    normal = evidence if evidence.normal is None else replace(evidence, posterior=evidence.normal)
    noticed = visible_slowdown(normal, missing, settings.power, tolerance)
    evident = min(normal.posterior.below(0.0), normal.posterior.above(0.0)) <= nominal
    suspicious = evident and abs(estimate) >= material(tolerance)
    ratio = math.exp(estimate)
    seen = _seen(evidence, against)
    advice, more_runs = "", None
    if p_slower <= settings.false_alarms and estimate >= material(tolerance):
        kind = VerdictKind.REGRESSED
        reason = f"{ratio - 1:.1%} slower, and certainly slower ({seen})"
        advice = "Look at what changed in the stack; accept the new level with a reason, or waive it, if it must be."
    elif p_faster <= settings.false_alarms and estimate <= -material(tolerance):
        kind = VerdictKind.IMPROVED
        reason = f"{1 - ratio:.1%} faster, and certainly faster ({seen})"
        advice = "Refresh the baseline, or a later slowdown hides behind it."
    elif most < math.log1p(limit) and noticed <= limit and not suspicious:
        kind = VerdictKind.UNCHANGED
        reason = f"no slowdown that matters, and would have seen {_percent(visible)} ({seen})"
    else:
        kind = VerdictKind.INCONCLUSIVE
        reason = (
            f"a slowdown of {limit:.0%} can be neither seen nor ruled out: would have seen {_percent(visible)} ({seen})"
        )
        if noticed <= limit:
            reason = f"{ratio - 1:+.1%}, too much to be called unchanged and too little to be called certain ({seen})"
        help_ = advise(evidence, visible, min(limit, visible * 0.7), settings.seconds_per_run, nominal, settings.power)
        advice, more_runs = help_.text, help_.runs
    return Comparison(
        kind=kind,
        ratio=ratio,
        low=math.exp(low),
        high=math.exp(high),
        confidence=1 - 2 * nominal,
        tolerance=tolerance,
        smallest_visible_slowdown=visible,
        spread=noise.run,
        reason=reason,
        advice=advice,
        p_slower=p_slower,
        p_faster=p_faster,
        more_runs=more_runs,
        noise=noise,
    )


def _seen(evidence: Evidence, against: str) -> str:
    noise = evidence.noise
    if evidence.side_by_side:
        counted = f"{_runs(evidence.candidate_runs)} of each stack side by side"
    else:
        counted = f"{_runs(evidence.candidate_runs)} against {against or _runs(evidence.baseline_runs)}"
    text = f"{counted}; runs lie {_percent(noise.run)} apart"
    if noise.uncorrected_run > 1.1 * noise.run and noise.probe_gain >= 0.1:
        text += f", {_percent(noise.uncorrected_run)} without the reference probes"
    if not evidence.side_by_side:
        text += f", nights are taken to lie {noise.night:.1%} apart"
    return text


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share <= _MOST_TOLD else f"over {_MOST_TOLD:.0%}"
