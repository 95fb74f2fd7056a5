"""From runs to what they say about the ratio: levels, probes as covariates, groups, and the posterior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.model import Posterior, SpreadPrior, posterior
from gaudi_perf.statistics.noise import (
    NoiseLevels,
    UsualNoise,
    spread_between_runs,
    usual_run_spread,
)
from gaudi_perf.statistics.sample import FloatArray, RunSample, levels, median_error, round_spread
from gaudi_perf.statistics.signs import covariates_of, probe_sign, unrest_sign, unseen_share
from gaudi_perf.statistics.slow_nights import with_slow_nights

_NEGLIGIBLE_SPREAD = 1e-6

_EQUALITY_FREEDOM = 4.0

_PAIR_SHARE = 0.25
"""Spread between pairs as a share of that between runs, as far as known before; worth one degree of freedom."""


@dataclass(frozen=True)
class Evidence:
    """What runs say about the ratio.

    Attributes:
        posterior: of the logarithm of the ratio.
        noise: where the noise is.
        candidate_runs: how many.
        baseline_runs: how many.
        candidate_groups: nights of the candidate (pairs, side by side).
        baseline_groups: nights of the baseline (pairs, side by side).
        side_by_side: whether runs were measured in pairs.
        median_error: usual error of a run's level that comes from its having few rounds.
        probe_shift: logarithm of the ratio of the probes, candidate to baseline; None without probes.
        unusual_shift: the part of it that is beyond the usual range of the probes.
        unusual_unrest: by how much more uneven the candidate's rounds are, in logarithms.
        normal: the posterior if no night were slow; None where slow nights show, or cancel.
    """

    posterior: Posterior
    noise: NoiseLevels
    candidate_runs: int
    baseline_runs: int
    candidate_groups: int
    baseline_groups: int
    side_by_side: bool
    median_error: float
    probe_shift: float | None
    unusual_shift: float
    unusual_unrest: float
    normal: Posterior | None = None


def from_stored(candidate: Sequence[RunSample], baseline: Sequence[RunSample], usual: UsualNoise) -> Evidence:
    """Evidence from runs of the candidate and earlier runs of the baseline.

    Raises:
        ValueError: a side has no runs.
    """
    _require(candidate, baseline)
    labels = [(sample.night or " candidate") for sample in candidate]
    labels += [(sample.night or " baseline") for sample in baseline]
    error = median_error([*candidate, *baseline])
    prior = SpreadPrior(
        run=usual_run_spread([*candidate, *baseline], usual, error),
        run_freedom=usual.run_freedom,
        group=usual.night,
        group_freedom=usual.night_freedom if len(set(labels)) > 2 else usual.lone_freedom,
        group_share=0.0,
    )
    return _evidence(candidate, baseline, labels, prior, usual, error, side_by_side=False)


def from_side_by_side(candidate: Sequence[RunSample], baseline: Sequence[RunSample], usual: UsualNoise) -> Evidence:
    """Evidence from runs measured in pairs: the first of the candidate next to the first of the baseline, and so on.

    A pair takes the place of the night: what its two runs share (the night, a slow drift) cancels. Where pairs share
    nothing, the spread between them is found to be small and the runs count as if they were not paired.

    Raises:
        ValueError: a side has no runs, or the sides differ in their number.
    """
    _require(candidate, baseline)
    if len(candidate) != len(baseline):
        raise ValueError(f"side by side needs pairs, and there are {len(candidate)} runs and {len(baseline)} runs")
    labels = [str(pair) for pair in range(len(candidate))] * 2
    error = median_error([*candidate, *baseline])
    run = usual_run_spread([*candidate, *baseline], usual, error)
    prior = SpreadPrior(
        run=run, run_freedom=usual.run_freedom, group=_PAIR_SHARE * run, group_freedom=1.0, group_share=0.0
    )
    return _evidence(candidate, baseline, labels, prior, usual, error, side_by_side=True)


def from_interleaved(candidate: Sequence[RunSample], baseline: Sequence[RunSample], usual: UsualNoise) -> Evidence:
    """Evidence from pairs of runs whose rounds were taken in turns: a round of the one, a round of the other.

    Both worker groups of a pair live at the same time. A pair's difference is the median over its rounds of the
    logarithm of the ratio of neighbouring rounds, so that whatever lasts longer than a round cancels (duets: Bulej et
    al. 2020, there in parallel). The pair is the unit of evidence.

    Raises:
        ValueError: a side has no runs, or the sides differ in the number of runs or of rounds in a pair.
    """
    _require(candidate, baseline)
    if [sample.rounds.size for sample in candidate] != [sample.rounds.size for sample in baseline]:
        raise ValueError("rounds in turns need pairs of runs with the same number of rounds")
    ratios = [np.log(ours.rounds / theirs.rounds) for ours, theirs in zip(candidate, baseline, strict=True)]
    differences = np.array([float(np.median(ratio)) for ratio in ratios])
    # The same functions that serve runs serve ratios of rounds, which are as positive as durations.
    turns = [RunSample(rounds=np.exp(ratio)) for ratio in ratios]
    error = median_error(turns)
    prior = SpreadPrior(
        run=math.hypot(math.sqrt(2) * usual.run, error),
        run_freedom=usual.run_freedom,
        group=_NEGLIGIBLE_SPREAD,
        group_freedom=1e6,
        group_share=0.0,
    )
    count = len(ratios)
    known = posterior(differences, np.ones(count), np.arange(count), prior, weights=_steadiness(turns), level=False)
    root = math.sqrt(2)  # from pairs to runs
    noise = NoiseLevels(
        round=round_spread([*candidate, *baseline]),
        run=known.run / root,
        night=0.0,
        uncorrected_run=spread_between_runs([candidate, baseline]),
        probe_coefficient=0.0,
        probe_gain=0.0,
    )
    return Evidence(
        posterior=known,
        noise=noise,
        candidate_runs=count,
        baseline_runs=count,
        candidate_groups=count,
        baseline_groups=count,
        side_by_side=True,
        median_error=error / root,
        probe_shift=None,
        unusual_shift=0.0,
        unusual_unrest=0.0,
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


def _require(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> None:
    for name, samples in (("candidate", candidate), ("baseline", baseline)):
        if not samples:
            raise ValueError(f"the {name} has no runs, and a comparison needs at least one")


def _evidence(
    candidate: Sequence[RunSample],
    baseline: Sequence[RunSample],
    labels: Sequence[str],
    prior: SpreadPrior,
    usual: UsualNoise,
    error: float,
    *,
    side_by_side: bool,
) -> Evidence:
    values = np.concatenate([levels(candidate), levels(baseline)])
    sides = np.repeat([0.5, -0.5], [len(candidate), len(baseline)])
    groups = _numbered(labels)
    both = [*candidate, *baseline]
    counts = len(set(labels[: len(candidate)])), len(set(labels[len(candidate) :]))
    shift = (usual.shift_coefficient, usual.shift_uncertainty)
    probes, unrest = probe_sign(both, sides, counts, shift), unrest_sign(both, sides)
    covariates = covariates_of([sign for sign in (probes, unrest) if sign is not None])
    known = posterior(values, sides, groups, prior, covariates)
    corrected = values if covariates is None else values - covariates.values @ known.coefficients
    if not side_by_side:
        prior = replace(prior, group_share=unseen_share(values, corrected, groups))
        known = posterior(values, sides, groups, prior, covariates)
        corrected = values if covariates is None else values - covariates.values @ known.coefficients
    inequality = _inequality(corrected, sides, groups)
    normal = None
    if not side_by_side and probes is None and usual.slow_nights > 0:
        normal = replace(known, deviations=known.deviations * inequality)
        known = with_slow_nights(known, usual.slow_nights, values, sides, groups, prior, covariates)
    known = replace(known, deviations=known.deviations * inequality)
    uncorrected = spread_between_runs([candidate, baseline])
    coefficient = float(known.coefficients[0]) if probes is not None else 0.0
    noise = NoiseLevels(
        round=round_spread([*candidate, *baseline]),
        run=known.run,
        night=known.group,
        uncorrected_run=uncorrected,
        probe_coefficient=coefficient,
        probe_gain=_gain(values, corrected, sides),
    )
    return Evidence(
        posterior=known,
        noise=noise,
        candidate_runs=len(candidate),
        baseline_runs=len(baseline),
        candidate_groups=counts[0],
        baseline_groups=counts[1],
        side_by_side=side_by_side,
        median_error=error,
        probe_shift=probes.shift if probes is not None else None,
        unusual_shift=probes.unusual_shift if probes is not None else 0.0,
        unusual_unrest=unrest.unusual_shift if unrest is not None else 0.0,
        normal=normal,
    )


def _numbered(labels: Sequence[str]) -> NDArray[np.intp]:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.array([numbers[label] for label in labels], dtype=np.intp)


def _inequality(values: FloatArray, sides: FloatArray, groups: NDArray[np.intp]) -> float:
    """By what the error is larger than the model says, because the side with fewer runs is the noisier one.

    The model has one spread between runs. With unequal numbers of runs that is too little if the smaller side is
    noisier (the problem of Behrens and Fisher; Welch 1947). The spread of each side is moderated by the common one,
    which counts like ``_EQUALITY_FREEDOM`` degrees of freedom. With equal numbers, or if the larger side is noisier,
    this is 1.
    """
    means = np.bincount(groups, weights=values) / np.bincount(groups)
    deviations = values - means[groups]
    squares, freedoms, counts = [], [], []
    for side in (0.5, -0.5):
        chosen = sides == side
        squares.append(float((deviations[chosen] ** 2).sum()))
        counts.append(int(chosen.sum()))
        freedoms.append(counts[-1] - len(set(groups[chosen].tolist())))
    if sum(freedoms) == 0 or sum(squares) == 0:
        return 1.0
    common = sum(squares) / sum(freedoms)
    moderated = [
        (_EQUALITY_FREEDOM * common + square) / (_EQUALITY_FREEDOM + freedom)
        for square, freedom in zip(squares, freedoms, strict=True)
    ]
    unequal = sum(variance / count for variance, count in zip(moderated, counts, strict=True))
    equal = common * sum(1 / count for count in counts)
    return math.sqrt(max(1.0, unequal / equal))


def _gain(values: FloatArray, corrected: FloatArray, sides: FloatArray) -> float:
    """The share of the variance between runs of a side that the probes explain."""
    before, after = 0.0, 0.0
    for side in (-0.5, 0.5):
        chosen = sides == side
        before += float(np.var(values[chosen])) * chosen.sum()
        after += float(np.var(corrected[chosen])) * chosen.sum()
    return float(max(0.0, 1 - after / before)) if before > 0 else 0.0
