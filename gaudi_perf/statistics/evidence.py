"""From runs to what they say about the ratio: levels, probes as covariates, groups, and the posterior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from gaudi_perf.statistics.covariates import probe_covariate, tail_spread_covariate, unexplained_share
from gaudi_perf.statistics.model import Covariates, Posterior, SpreadPrior, posterior, with_slow_sessions
from gaudi_perf.statistics.noise import NoisePrior, run_spread_prior
from gaudi_perf.statistics.sample import (
    FloatArray,
    RunSample,
    interquartile_mean,
    levels,
    median_error,
    pooled_spread,
    scatter_within,
)

_NEGLIGIBLE_SPREAD = 1e-6

_PAIR_SHARE = 0.25
"""Spread between pairs as a share of that between runs, as far as known before; worth one degree of freedom."""


class Layout(str, Enum):
    """How runs of the two sides belong together."""

    STORED = "stored"
    SIDE_BY_SIDE = "side by side"
    INTERLEAVED = "interleaved"


@dataclass(frozen=True)
class Evidence:
    """What runs say about the ratio. Spreads are standard deviations of logarithms of levels: 0.01 is 1 %.

    Attributes:
        posterior: of the logarithm of the ratio.
        run_spread: between runs of a session (of a pair, side by side), after correction by the probes.
        session_spread: between sessions, beyond that of runs (between pairs, side by side).
        uncorrected_run_spread: between runs of a side before correction by the probes; 0 if no side has two runs.
        probe_gain: variance between runs that the probes explain, as a share; 0 without probes.
        candidate_groups: sessions of the candidate (pairs, side by side); ``baseline_groups`` likewise.
        median_error: usual error of a run's level that comes from its having few rounds.
        probe_shift: logarithm of the ratio of the probes, candidate to baseline; None without probes.
        unusual_shift: the part of it that is beyond the usual range of the probes.
        tail_spread_shift: by how much larger the tail spread of the candidate's rounds is, in logarithms.
        shift_doubt: part of the posterior's standard deviation: how much of ``unusual_shift`` reaches the rounds.
        normal: the posterior if no session were slow; None where slow sessions show, or cancel.
        prior: what was taken as known of the noise.
    """

    posterior: Posterior
    run_spread: float
    session_spread: float
    uncorrected_run_spread: float
    candidate_runs: int
    baseline_runs: int
    candidate_groups: int
    baseline_groups: int
    side_by_side: bool
    median_error: float
    probe_gain: float = 0.0
    probe_shift: float | None = None
    unusual_shift: float = 0.0
    tail_spread_shift: float = 0.0
    shift_doubt: float = 0.0
    normal: Posterior | None = None
    prior: NoisePrior = field(default_factory=NoisePrior)

    @property
    def session_in_question(self) -> bool:
        """Whether the session may be slow, and it is not known whether or how much."""
        return self.normal is not None or self.shift_doubt > 0

    @property
    def of_usual_session(self) -> Posterior:
        """The posterior if it were known that no session is slow, or how much of the probes' shift reaches the rounds.

        No run is evidence of the latter, so it adds to the variance.
        """
        known = self.normal or self.posterior
        return replace(known, deviations=np.sqrt(np.maximum(known.deviations**2 - self.shift_doubt**2, 1e-12)))

    @property
    def few_rounds(self) -> bool:
        """Whether most of the spread between runs comes from their having few rounds."""
        return self.median_error > 0.7 * self.run_spread


def gather(
    candidate: Sequence[RunSample], baseline: Sequence[RunSample], layout: Layout, prior: NoisePrior | None = None
) -> Evidence:
    """Evidence from runs of both sides; side by side, the first of either was measured next to the other's first.

    Raises:
        ValueError: a side has no runs, or they do not belong together as the layout says.
    """
    for name, samples in (("candidate", candidate), ("baseline", baseline)):
        if not samples:
            raise ValueError(f"the {name} has no runs, and a comparison needs at least one")
    if layout == Layout.INTERLEAVED:
        return _interleaved(candidate, baseline, prior or NoisePrior())
    return _of_runs(candidate, baseline, prior or NoisePrior(), side_by_side=layout == Layout.SIDE_BY_SIDE)


def _of_runs(
    candidate: Sequence[RunSample], baseline: Sequence[RunSample], prior: NoisePrior, *, side_by_side: bool
) -> Evidence:
    """Evidence from whole runs, stored or measured in pairs: the first of the candidate next to the baseline's first.

    A pair takes the place of the session: what its two runs share (the session, a slow drift) cancels. Where pairs
    share nothing, the spread between them is found to be small and the runs count as if they were not paired.
    """
    both = [*candidate, *baseline]
    error = median_error(both)
    run = run_spread_prior(both, prior, error)
    if side_by_side:
        if len(candidate) != len(baseline):
            raise ValueError(f"side by side needs pairs, and there are {len(candidate)} runs and {len(baseline)} runs")
        labels = [str(pair) for pair in range(len(candidate))] * 2
        group, group_freedom = _PAIR_SHARE * run, 1.0
    else:
        labels = [sample.session or " candidate" for sample in candidate]
        labels += [sample.session or " baseline" for sample in baseline]
        group, group_freedom = prior.session, prior.session_freedom
    spreads = SpreadPrior(run, prior.run_freedom, group, group_freedom)
    values = levels(both)
    which = np.repeat([1, 0], [len(candidate), len(baseline)])
    sides = which - 0.5
    groups = np.unique(labels, return_inverse=True)[1]
    counts = len(set(labels[: len(candidate)])), len(set(labels[len(candidate) :]))
    shift = prior.shift_coefficient, prior.shift_uncertainty
    probes = probe_covariate(both, sides, counts, shift, unusual=prior.unusual)
    tails = tail_spread_covariate(both, sides)
    covariates = Covariates.none(values.size)
    for found in (probes, tails):
        if found is not None:
            for column, coefficient in zip(found.columns.T, found.coefficients, strict=True):
                covariates = covariates.with_column(column, *coefficient)
    known = posterior(values, sides, groups, spreads, covariates)
    left = values - covariates.values @ known.coefficients
    if not side_by_side:
        spreads = replace(spreads, group_share=prior.unseen * unexplained_share(values, left, groups))
        known = posterior(values, sides, groups, spreads, covariates)
        left = values - covariates.values @ known.coefficients
    normal = None
    if not side_by_side and probes is None and prior.slow_sessions > 0:
        normal = known
        known = with_slow_sessions(known, prior.slow_sessions, values, sides, groups, spreads, covariates)
    before, after = scatter_within(values, which)[0], scatter_within(left, which)[0]
    return Evidence(
        posterior=known,
        run_spread=known.run,
        session_spread=known.group,
        uncorrected_run_spread=pooled_spread(values, which),
        probe_gain=max(0.0, 1 - after / before) if before > 0 else 0.0,
        candidate_runs=len(candidate),
        baseline_runs=len(baseline),
        candidate_groups=counts[0],
        baseline_groups=counts[1],
        side_by_side=side_by_side,
        median_error=error,
        probe_shift=None if probes is None else probes.shift,
        unusual_shift=0.0 if probes is None else probes.unusual_shift,
        tail_spread_shift=0.0 if tails is None else tails.unusual_shift,
        shift_doubt=0.0 if probes is None or side_by_side else probes.shift_doubt,
        normal=normal,
        prior=prior,
    )


def _interleaved(candidate: Sequence[RunSample], baseline: Sequence[RunSample], prior: NoisePrior) -> Evidence:
    """Evidence from pairs of runs whose rounds were taken in turns: a round of the one, a round of the other.

    Both worker groups of a pair live at the same time. A pair's difference is the mean of the middle half of its
    rounds' logarithms of the ratio of neighbouring rounds: what lasts longer than a round cancels, and a quarter of the
    rounds may be bad (duets: Bulej et al. 2020, there in parallel). The pair is the unit of evidence.
    """
    if [sample.rounds.size for sample in candidate] != [sample.rounds.size for sample in baseline]:
        raise ValueError("rounds in turns need pairs of runs with the same number of rounds")
    ratios = [np.log(ours.rounds / theirs.rounds) for ours, theirs in zip(candidate, baseline, strict=True)]
    differences = np.array([interquartile_mean(ratio) for ratio in ratios])
    # The same functions that serve runs serve ratios of rounds, which are as positive as durations.
    turns = [RunSample(rounds=np.exp(ratio)) for ratio in ratios]
    error = median_error(turns)
    spreads = SpreadPrior(
        run=math.hypot(math.sqrt(2) * prior.run, error),
        run_freedom=prior.run_freedom,
        group=_NEGLIGIBLE_SPREAD,
        group_freedom=1e6,
    )
    count = len(ratios)
    known = posterior(differences, np.ones(count), np.arange(count), spreads, weights=_steadiness(turns), level=False)
    root = math.sqrt(2)  # from pairs to runs
    return Evidence(
        posterior=known,
        run_spread=known.run / root,
        session_spread=0.0,
        uncorrected_run_spread=pooled_spread(levels([*candidate, *baseline]), np.repeat([0, 1], count)),
        candidate_runs=count,
        baseline_runs=count,
        candidate_groups=count,
        baseline_groups=count,
        side_by_side=True,
        median_error=error / root,
    )


def _steadiness(turns: Sequence[RunSample]) -> FloatArray:
    """Weights of pairs, 1 on average: the less, the more uneven their rounds.

    Half of a pair's variance is taken to be that of all pairs, half to grow with the square of its own rounds' spread.
    """
    spreads = np.array([turn.spread for turn in turns])
    usual = float(np.median(spreads))
    if usual == 0:
        return np.ones(spreads.size)
    weights: FloatArray = 1 / (1 + (spreads / usual) ** 2)
    return weights / float(weights.mean())


def with_history(evidence: Evidence, sessions: int) -> Evidence:
    """The same evidence, had so many more sessions been known and none of them slow.

    The components of the posterior's mixture stay, those after ``normal``'s are less probable.
    """
    known, normal = evidence.posterior, evidence.normal
    if normal is None:
        return evidence
    shares = evidence.prior.slow_sessions, evidence.prior.slow_sessions_after(sessions)
    before, after = (share / (1 - share) for share in shares)
    weights = known.weights.copy()
    weights[normal.weights.size :] *= after / before
    return replace(evidence, posterior=replace(known, weights=weights / weights.sum()))


def with_slowdown(evidence: Evidence, slowdown: float) -> Evidence:
    """The same evidence, had the candidate's rounds been longer by a share (0.05 for 5 %).

    Levels are logarithms and the model is linear in them, so the posterior moves and keeps its shape.
    """
    known, normal = evidence.posterior, evidence.normal
    by = math.log1p(slowdown)
    return replace(
        evidence,
        posterior=replace(known, means=known.means + by),
        normal=None if normal is None else replace(normal, means=normal.means + by),
    )
