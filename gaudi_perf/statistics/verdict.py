"""From evidence to a verdict: numbers and codes; ``reports/wording.py`` has the sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gaudi_perf.statistics.evidence import Evidence, Layout, gather
from gaudi_perf.statistics.noise import NoiseLevels, NoisePrior
from gaudi_perf.statistics.planning import LARGEST, advise, material, visible_slowdown
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.verdict import Advice, Reason, VerdictKind


@dataclass(frozen=True)
class ComparisonSettings:
    """What a comparison may get wrong.

    Attributes:
        false_alarms: permitted rate of REGRESSED where nothing changed; of IMPROVED, and of UNCHANGED where the
            slowdown is twice the tolerance, as well. The interval's confidence is 1 minus twice this.
        power: with what probability a slowdown that is called detectable is detected.
    """

    false_alarms: float = 0.005
    power: float = 0.9

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
        reason: why.
        advice: what would help.
        more_runs: about how many more runs would settle it; None if nothing need be settled or no number would.
        ratio: level of the candidate to that of the baseline; 1.096 is 9.6 % slower.
        low: lower end of the interval of the ratio.
        high: upper end.
        confidence: of that interval.
        tolerance: the slowdown that nobody minds.
        smallest_visible_slowdown: what this comparison would have called REGRESSED with the power of its settings.
        p_slower: evidence against "not slower": the probability, were it not slower, of as much evidence of a slowdown.
        p_faster: the same against "not faster".
        evidence: what it comes from.
    """

    kind: VerdictKind
    reason: Reason
    advice: Advice
    more_runs: int | None
    ratio: float
    low: float
    high: float
    confidence: float
    tolerance: float
    smallest_visible_slowdown: float
    p_slower: float
    p_faster: float
    evidence: Evidence = field(repr=False, compare=False)

    @property
    def noise(self) -> NoiseLevels:
        """Where the noise is."""
        return self.evidence.noise


def compare(
    candidate: Sequence[RunSample],
    baseline: Sequence[RunSample],
    *,
    layout: Layout = Layout.STORED,
    tolerance: float = TOLERANCES[LATENCY],
    prior: NoisePrior | None = None,
    settings: ComparisonSettings | None = None,
) -> Comparison:
    """Compare runs with stored runs, or with runs that were measured in pairs, best in the order ABBA.

    Args:
        candidate: runs on the stack in question.
        baseline: stored runs, or those of the other stack, as many.
        layout: how the runs of the two sides belong together.
        tolerance: the slowdown that nobody minds, 0.05 for 5 %.
        prior: what is known about the noise here; the default knows little.
        settings: permitted error rates.

    Raises:
        ValueError: a side has no runs, they do not belong together as the layout says, or the tolerance is not a share
            above 0.
    """
    return decide(gather(candidate, baseline, layout, prior), tolerance, settings or ComparisonSettings())


def as_published(
    candidate: Sequence[RunSample], published_s: float, prior: NoisePrior | None = None
) -> tuple[list[RunSample], list[RunSample], NoisePrior]:
    """Both sides of a comparison with a published number, of which no spread is known, and the prior for it.

    The number is a single run of another session and has no probes, so those of the candidate say nothing. It is taken
    for what a usual session gave: else nothing could ever be called UNCHANGED.

    Raises:
        ValueError: the number is no duration.
    """
    single = RunSample(rounds=np.array([published_s], dtype=np.float64))
    stripped = [RunSample(rounds=sample.rounds, session=sample.session) for sample in candidate]
    return stripped, [single], replace(prior or NoisePrior(), slow_sessions=0.0)


def decide(
    evidence: Evidence,
    tolerance: float,
    settings: ComparisonSettings,
    *,
    error: float | None = None,
    missing: float | None = None,
) -> Comparison:
    """The verdict. REGRESSED, IMPROVED and UNCHANGED each have a permitted error rate of their own, the same for all.

    - REGRESSED: "not slower" is refused at the permitted rate, and the best estimate is at least half the tolerance.
      The whole interval need not be beyond the tolerance: then a slowdown of just the tolerance would hardly be found.
    - IMPROVED: the same, the other way.
    - UNCHANGED: the upper end of the interval is below twice the tolerance, and a slowdown of that size would have been
      detected.
    - INCONCLUSIVE: none of these.

    Args:
        evidence: what is known.
        tolerance: the slowdown that nobody minds.
        settings: permitted error rates.
        error: the permitted error rate of this interim analysis, if there are several; else that of the settings.
        missing: the permitted rate of UNCHANGED at twice the tolerance, at this analysis; else ``error``.

    Raises:
        ValueError: the tolerance is not a share above 0.
    """
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance is {tolerance}, and must be a share above 0, for instance 0.05")
    nominal = settings.false_alarms if error is None else error
    missing = nominal if missing is None else missing
    known = evidence.posterior
    quantiles = (known.quantile(order) for order in (0.5, nominal, 1 - nominal, 1 - missing))
    estimate, low, high, most = (max(-LARGEST, min(quantile, LARGEST)) for quantile in quantiles)
    # An interim analysis' own level becomes what it is worth overall, so that all cases can be judged alike.
    worth = settings.false_alarms / nominal
    p_slower, p_faster = (min(1.0, worth * p) for p in (known.below(0.0), known.above(0.0)))
    limit = 2 * tolerance
    visible = visible_slowdown(evidence, nominal, settings.power, tolerance)
    # What a slow session would explain is not called REGRESSED, but it is seen: it is not called UNCHANGED either.
    normal = evidence if evidence.normal is None else replace(evidence, posterior=evidence.normal)
    noticed = visible_slowdown(normal, missing, settings.power, tolerance)
    evident = min(normal.posterior.below(0.0), normal.posterior.above(0.0)) <= nominal
    suspicious = evident and abs(estimate) >= material(tolerance)
    advice, more_runs = Advice.NONE, None
    if p_slower <= settings.false_alarms and estimate >= material(tolerance):
        kind, reason, advice = VerdictKind.REGRESSED, Reason.SLOWER, Advice.ACCEPT_OR_WAIVE
    elif p_faster <= settings.false_alarms and estimate <= -material(tolerance):
        kind, reason, advice = VerdictKind.IMPROVED, Reason.FASTER, Advice.REFRESH
    elif most < math.log1p(limit) and noticed <= limit and not suspicious:
        kind, reason = VerdictKind.UNCHANGED, Reason.WITHIN_TOLERANCE
    else:
        kind, reason = VerdictKind.INCONCLUSIVE, Reason.NOT_SIGNIFICANT if noticed <= limit else Reason.TOO_IMPRECISE
        advice, more_runs = advise(evidence, visible, min(limit, visible * 0.7), nominal, settings.power)
    return Comparison(
        kind=kind,
        reason=reason,
        advice=advice,
        more_runs=more_runs,
        ratio=math.exp(estimate),
        low=math.exp(low),
        high=math.exp(high),
        confidence=1 - 2 * nominal,
        tolerance=tolerance,
        smallest_visible_slowdown=visible,
        p_slower=p_slower,
        p_faster=p_faster,
        evidence=evidence,
    )
