"""From evidence to a verdict, in numbers and codes: here, in ``decide``, is where the tolerance is applied."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gaudi_perf.statistics.covariates import TAIL_SPREAD_DOUBT
from gaudi_perf.statistics.evidence import Evidence, Layout, gather, with_history
from gaudi_perf.statistics.noise import MOST_SESSIONS, NoisePrior
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.verdict import Advice, Reason, VerdictKind

_LARGEST = 50.0
"""Logarithms of ratios are cut off here: two or three runs of nothing in common leave almost anything possible."""

_MOST_RUNS = 200
_WORTH_MENTIONING = 0.01
_MOSTLY = 0.5
"""As a share of the standard error: what is more than this of it is most of its variance, about."""


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
        if not (0 < self.false_alarms < 0.5 and 0.5 <= self.power < 1):
            raise ValueError("settings: false_alarms must be between 0 and 0.5, and power between 0.5 and 1")


@dataclass(frozen=True)
class Comparison:
    """The outcome of comparing runs, by the names of the document (``vocabulary.verdict.Verdict``).

    Attributes:
        p_slower: evidence against "not slower": the probability, were it not slower, of as much evidence of a slowdown.
    """

    kind: VerdictKind
    reason: Reason
    advice: Advice
    more_runs: int | None
    more_sessions: int | None
    ratio: float
    low: float
    high: float
    confidence: float
    tolerance: float
    smallest_visible_slowdown: float
    p_slower: float
    p_faster: float
    evidence: Evidence = field(repr=False, compare=False)


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


def material(tolerance: float) -> float:
    """Half the tolerance, in logarithms: best estimates below it are not worth a verdict.
    Raises ValueError if the tolerance is not a share above 0.
    """
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance is {tolerance}, and must be a share above 0, for instance 0.05")
    return math.log1p(tolerance) / 2


def largest_unchanged(tolerance: float) -> float:
    """Twice the tolerance, in logarithms: a slowdown of so much must not be called UNCHANGED."""
    return math.log1p(2 * tolerance)


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
        error: the permitted error rate of this interim analysis, if there are several; else that of the settings.
        missing: the permitted rate of UNCHANGED at twice the tolerance, at this analysis; else ``error``.

    Raises:
        ValueError: the tolerance is not a share above 0.
    """
    least = material(tolerance)
    nominal = settings.false_alarms if error is None else error
    missing = nominal if missing is None else missing
    known = evidence.posterior
    quantiles = (known.quantile(order) for order in (0.5, nominal, 1 - nominal, 1 - missing))
    estimate, low, high, most = (max(-_LARGEST, min(quantile, _LARGEST)) for quantile in quantiles)
    # An interim analysis' own level becomes what it is worth overall, so that all cases can be judged alike.
    worth = settings.false_alarms / nominal
    p_slower, p_faster = (min(1.0, worth * p) for p in (known.below(0.0), known.above(0.0)))
    limit = 2 * tolerance
    visible = _visible_slowdown(evidence, nominal, settings.power, tolerance)
    # What a slow session would explain is not called REGRESSED, but it is seen: it is not called UNCHANGED either.
    normal = evidence if evidence.normal is None else replace(evidence, posterior=evidence.normal)
    noticed = _visible_slowdown(normal, missing, settings.power, tolerance)
    evident = min(normal.posterior.below(0.0), normal.posterior.above(0.0)) <= nominal
    suspicious = evident and abs(estimate) >= least
    advice, more_runs, more_sessions = Advice.NONE, None, None
    if p_slower <= settings.false_alarms and estimate >= least:
        kind, reason, advice = VerdictKind.REGRESSED, Reason.SLOWER, Advice.ACCEPT_OR_WAIVE
    elif p_faster <= settings.false_alarms and estimate <= -least:
        kind, reason, advice = VerdictKind.IMPROVED, Reason.FASTER, Advice.REFRESH
    elif most < largest_unchanged(tolerance) and noticed <= limit and not suspicious:
        kind, reason = VerdictKind.UNCHANGED, Reason.WITHIN_TOLERANCE
    else:
        kind, reason = VerdictKind.INCONCLUSIVE, Reason.NOT_SIGNIFICANT if noticed <= limit else Reason.TOO_IMPRECISE
        advice, more_runs = _advise(evidence, visible, min(limit, visible * 0.7), nominal, settings.power)
        if advice is Advice.ANOTHER_SESSION and visible > limit:
            more_sessions = _more_sessions(evidence, limit, nominal, settings.power, tolerance)
    return Comparison(
        kind=kind,
        reason=reason,
        advice=advice,
        more_runs=more_runs,
        more_sessions=more_sessions,
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


def _visible_slowdown(evidence: Evidence, false_alarms: float, power: float, tolerance: float) -> float:
    """The smallest slowdown (0.03 for 3 %) that such a comparison calls REGRESSED with probability ``power``.

    It is the distance from the best estimate to the lower end of the interval (a slowdown must clear it), plus that to
    the upper quantile of order ``power`` (its estimate may come out lower); and at least half the tolerance plus the
    latter, for slowdowns whose estimate is below half the tolerance are not called.
    """
    known = evidence.posterior
    centre = known.quantile(0.5)
    luck = known.quantile(power) - centre
    clear = centre - known.quantile(false_alarms)
    return math.expm1(min(max(clear, material(tolerance)) + luck, _LARGEST))


def _advise(
    evidence: Evidence, visible: float, limit: float, false_alarms: float, power: float
) -> tuple[Advice, int | None]:
    """How an INCONCLUSIVE comparison that detects a slowdown of ``visible``, and should of ``limit``, could be settled.

    The number is how many more runs of the candidate (of each side, side by side) are about enough.
    """
    from scipy.special import ndtri

    if abs(evidence.unusual_shift) > _WORTH_MENTIONING and not evidence.side_by_side:
        return Advice.CHECK_MACHINE, None
    if abs(evidence.tail_spread_shift) * TAIL_SPREAD_DOUBT > _MOSTLY * evidence.posterior.spread:
        return Advice.CHECK_ROUNDS, None
    normal = evidence.normal
    if normal and min(normal.below(0.0), normal.above(0.0), normal.above(math.log1p(limit))) <= false_alarms:
        return Advice.ANOTHER_SESSION, None  # it would be settled, if only no session were slow
    # Never more than the noise that made this comparison blind, or more runs would be promised than help.
    reach = float(ndtri(1 - false_alarms) + ndtri(power))
    wanted = (math.log1p(limit) / reach) ** 2
    now = (math.log1p(visible) / reach) ** 2
    for more in range(1, _MOST_RUNS + 1):
        if now * error_with(evidence, more) / error_with(evidence, 0) <= wanted:
            return Advice.MORE_RUNS, more
    return (Advice.QUIETER_MACHINE if evidence.side_by_side else Advice.SIDE_BY_SIDE), None


def _more_sessions(evidence: Evidence, limit: float, false_alarms: float, power: float, tolerance: float) -> int | None:
    """How many more sessions of history, none of them slow, make a slowdown of ``limit`` detectable; None if too many
    do not.
    """

    def enough(sessions: int) -> bool:
        return _visible_slowdown(with_history(evidence, sessions), false_alarms, power, tolerance) <= limit

    return bisect_left(range(MOST_SESSIONS), True, 1, key=enough) if enough(MOST_SESSIONS) else None


def error_with(evidence: Evidence, more: int) -> float:
    """The squared error of the logarithm of the ratio with so many more runs, from the spreads that were found."""
    runs = evidence.run_spread**2
    if evidence.side_by_side:
        return 2 * runs / (evidence.candidate_runs + more)
    sessions = evidence.session_spread**2 * (1 / evidence.candidate_groups + 1 / evidence.baseline_groups)
    return sessions + runs * (1 / (evidence.candidate_runs + more) + 1 / evidence.baseline_runs)
