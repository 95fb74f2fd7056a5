"""From runs to what they say about the ratio: levels, probes as covariates, groups, and the posterior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.model import Covariates, Posterior, SpreadPrior, posterior
from gaudi_perf.statistics.noise import NoiseLevels, UsualNoise, spread_between_runs, usual_run_spread
from gaudi_perf.statistics.sample import FloatArray, RunSample, levels, median_error, round_spread

_USUAL_RANGE = 3.0
"""Probes within this many (robust) standard deviations of each other vary as usual."""

_SMALLEST_RANGE = 0.01
"""Shifts of the probes up to 1 % are never taken for another machine state."""

_USUAL_COEFFICIENT = (0.3, 0.3)
"""What is taken as known of the coefficient of the usual variation before any run is seen, mean and standard deviation:
much of the variation is the probe's own jitter, which slows no round. Runs outweigh this as soon as their probes vary
with them."""

_UNUSUAL_COEFFICIENT = (0.5, 0.5)
"""The same of an unusual shift: a machine that is 1 % slower by its probes may slow the rounds by 0 to 1 %, and by -0.5
to 1.5 % at two standard deviations. If only one side has it, no run can tell, and the interval becomes as wide as
this says."""

_NEGLIGIBLE_SPREAD = 1e-6


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
        group_freedom=usual.night_freedom,
        group_share=usual.night_share,
    )
    return _evidence(candidate, baseline, labels, prior, error, side_by_side=False)


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
    prior = SpreadPrior(run=run, run_freedom=usual.run_freedom, group=run, group_freedom=1.0, group_share=0.0)
    return _evidence(candidate, baseline, labels, prior, error, side_by_side=True)


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
        run=max(math.sqrt(2) * usual_run_spread(turns, usual, 0.0), error),
        run_freedom=usual.run_freedom,
        group=_NEGLIGIBLE_SPREAD,
        group_freedom=1e6,
        group_share=0.0,
    )
    count = len(ratios)
    known = posterior(differences, np.ones(count), np.arange(count), prior, level=False)
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
    error: float,
    *,
    side_by_side: bool,
) -> Evidence:
    values = np.concatenate([levels(candidate), levels(baseline)])
    sides = np.repeat([0.5, -0.5], [len(candidate), len(baseline)])
    groups = _numbered(labels)
    probes = _probe_levels([*candidate, *baseline])
    counts = len(set(labels[: len(candidate)])), len(set(labels[len(candidate) :]))
    covariates, shift, unusual = (None, None, 0.0) if probes is None else _covariates(probes, sides, counts)
    known = posterior(values, sides, groups, prior, covariates)
    uncorrected = spread_between_runs([candidate, baseline])
    coefficient, gain = 0.0, 0.0
    if covariates is not None:
        coefficient = float(known.coefficients[0])
        gain = _gain(values, covariates.values @ known.coefficients, sides)
    noise = NoiseLevels(
        round=round_spread([*candidate, *baseline]),
        run=known.run,
        night=known.group,
        uncorrected_run=uncorrected,
        probe_coefficient=coefficient,
        probe_gain=gain,
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
        probe_shift=shift,
        unusual_shift=unusual,
    )


def _numbered(labels: Sequence[str]) -> NDArray[np.intp]:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.array([numbers[label] for label in labels], dtype=np.intp)


def _probe_levels(samples: Sequence[RunSample]) -> FloatArray | None:
    found = [sample.probe_level for sample in samples]
    known = [level for level in found if level is not None]
    # Probes on one side only say nothing about the difference.
    return np.array(known) if len(known) == len(found) else None


def _covariates(probes: FloatArray, sides: FloatArray, groups: tuple[int, int]) -> tuple[Covariates, float, float]:
    """The probes as two covariates: their usual variation, and runs or sides that are far from it.

    A probe's own jitter does not slow the rounds, a machine that throttles does; so a coefficient that was learned from
    jitter must not be applied to a shift of another size. Runs far from the median of their side, and a difference of
    the sides' medians that is large for so many groups, go to a covariate of their own.
    """
    ours, theirs = sides > 0, sides < 0
    medians = np.where(ours, np.median(probes[ours]), np.median(probes[theirs]))
    deviations = probes - medians
    freedom = max(deviations.size - 2, 1) / deviations.size  # two medians were taken out
    spread = 1.4826 * float(np.median(np.abs(deviations))) / math.sqrt(freedom)
    difference = float(np.median(probes[ours]) - np.median(probes[theirs]))
    usual = np.where(np.abs(deviations) <= max(_USUAL_RANGE * spread, _SMALLEST_RANGE), deviations, 0.0)
    reach = _USUAL_RANGE * spread * math.sqrt(1 / groups[0] + 1 / groups[1])
    if abs(difference) <= max(reach, _SMALLEST_RANGE):
        usual = usual + difference * np.where(ours, 0.5, -0.5)
    unusual = deviations + difference * np.where(ours, 0.5, -0.5) - usual
    covariates = Covariates(
        values=np.column_stack([usual, unusual]),
        expected=np.array([_USUAL_COEFFICIENT[0], _UNUSUAL_COEFFICIENT[0]]),
        uncertainty=np.array([_USUAL_COEFFICIENT[1], _UNUSUAL_COEFFICIENT[1]]),
    )
    shift = float(probes[ours].mean() - probes[theirs].mean())
    return covariates, shift, float(unusual[ours].mean() - unusual[theirs].mean())


def _gain(values: FloatArray, explained: FloatArray, sides: FloatArray) -> float:
    """The share of the variance between runs of a side that the probes explain."""
    before, after = 0.0, 0.0
    for side in (-0.5, 0.5):
        chosen = sides == side
        before += float(np.var(values[chosen])) * chosen.sum()
        after += float(np.var((values - explained)[chosen])) * chosen.sum()
    return float(max(0.0, 1 - after / before)) if before > 0 else 0.0
