"""Ports of the rules that people use, to be run on the same data as this suite's.

A rule sees the runs of both sides and says whether it raises an alarm: the candidate is slower. Where a rule also fails
for a speed-up, that is not counted here, in its favour. Rules that were made for one run see the candidate's last run
and take their reference from the baseline's last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from gaudi_perf.statistics.evidence import Layout
from gaudi_perf.statistics.sample import FloatArray, RunSample, all_known, levels

Rule = Callable[[Sequence[RunSample], Sequence[RunSample]], bool]

_RESAMPLES = 1000


def _rounds(samples: Sequence[RunSample]) -> FloatArray:
    return np.concatenate([sample.rounds for sample in samples])


def optimum_habana(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """optimum-habana, tests/test_text_generation_example.py.

    ``assert results["throughput"] >= (2 - TIME_PERF_FACTOR) * baseline``, the factor being 1.05: the throughput of one
    run (tokens by seconds over all its rounds) below 0.95 of a reference that was one run, too.
    """
    throughput, reference = 1 / candidate[-1].rounds.mean(), 1 / baseline[-1].rounds.mean()
    return bool(throughput < 0.95 * reference)


def tensorrt_llm(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """TensorRT-LLM, tests/integration/defs/perf/open_search_db_utils.py: POST_MERGE_THRESHOLD = 0.05.

    One run's throughput against a baseline value kept from earlier runs, here the median of theirs.
    """
    throughput = 1 / candidate[-1].rounds.mean()
    reference = np.median([1 / sample.rounds.mean() for sample in baseline])
    return bool(throughput < (1 - 0.05) * reference)


def _pytest_benchmark(statistic: Callable[[FloatArray], float]) -> Rule:
    """pytest-benchmark, ``--benchmark-compare-fail=STATISTIC:5%``: a relative change of one saved run above 5 %."""

    def rule(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
        ours, theirs = float(statistic(candidate[-1].rounds)), float(statistic(baseline[-1].rounds))
        return (ours - theirs) / theirs * 100 > 5

    return rule


def asv(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """Asv continuous and compare, ``_is_result_better`` and ``is_different``.

    Medians differ by more than the factor 1.1, and a Mann-Whitney U test on all samples of all rounds (processes) has p
    below 0.002.
    """
    ours, theirs = _rounds(candidate), _rounds(baseline)
    different = stats.mannwhitneyu(ours, theirs).pvalue < 0.002
    return bool(different and np.median(theirs) < np.median(ours) / 1.1)


def welch_on_rounds(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """Welch's t-test on all rounds, as if they were independent, at 5 % two-sided."""
    result = stats.ttest_ind(_rounds(candidate), _rounds(baseline), equal_var=False)
    return bool(result.pvalue < 0.05 and result.statistic > 0)


def u_test_on_rounds(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """Mann-Whitney U test on all rounds, as if they were independent, at 5 % two-sided."""
    ours, theirs = _rounds(candidate), _rounds(baseline)
    return bool(stats.mannwhitneyu(ours, theirs).pvalue < 0.05 and np.median(ours) > np.median(theirs))


def criterion(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """criterion.rs, src/analysis/compare.rs and report.rs, with its defaults.

    A bootstrapped t-test (both samples redrawn from their union) with p below 0.05, and the whole bootstrapped 95 %
    interval of the relative change of means above the noise threshold of 2 %. Its 100,000 resamples are 1,000 here. It
    compares one run with one saved run.
    """
    ours, theirs = candidate[-1].rounds, baseline[-1].rounds
    rng = np.random.default_rng(0)

    def t_statistic(a: FloatArray, b: FloatArray) -> FloatArray:
        spread = np.sqrt(a.var(axis=-1, ddof=1) / a.shape[-1] + b.var(axis=-1, ddof=1) / b.shape[-1])
        result: FloatArray = (a.mean(axis=-1) - b.mean(axis=-1)) / spread
        return result

    union = np.concatenate([ours, theirs])
    drawn = rng.choice(union, (_RESAMPLES, union.size))
    null = t_statistic(drawn[:, : ours.size], drawn[:, ours.size :])
    observed = float(t_statistic(ours, theirs))
    share = float(np.mean(null < observed))
    if 2 * min(share, 1 - share) >= 0.05:
        return False
    relative = rng.choice(ours, (_RESAMPLES, ours.size)).mean(axis=1)
    relative = relative / rng.choice(theirs, (_RESAMPLES, theirs.size)).mean(axis=1) - 1
    low, high = np.quantile(relative, [0.025, 0.975])
    return bool(low > 0.02 and high > 0.02)


def firecracker(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """Firecracker, tools/ab_test.py, with its defaults.

    A permutation test of the difference of means over all rounds with p below 0.01 (two-sided), and a change of more
    than 5 % of the mean. Its 9,999 permutations are 1,000 here.
    """
    ours, theirs = _rounds(candidate), _rounds(baseline)
    observed = ours.mean() - theirs.mean()
    if observed <= 0.05 * theirs.mean():
        return False
    union = np.concatenate([ours, theirs])
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.tile(union, (_RESAMPLES, 1)), axis=1)
    null = drawn[:, : ours.size].mean(axis=1) - drawn[:, ours.size :].mean(axis=1)
    above = (1 + np.sum(null >= observed)) / (_RESAMPLES + 1)
    below = (1 + np.sum(null <= observed)) / (_RESAMPLES + 1)
    return bool(2 * min(above, below) < 0.01)


def inference_doctor(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """inference-doctor: the whole 90 % Welch interval of the change of the runs' means is past 10 %."""
    ours = np.array([sample.rounds.mean() for sample in candidate])
    theirs = np.array([sample.rounds.mean() for sample in baseline])
    if min(ours.size, theirs.size) < 2:
        return False
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.9)
    return bool(interval.low > 0.1 * theirs.mean())


def inference_doctor_cv(candidate: Sequence[RunSample], baseline: Sequence[RunSample]) -> bool:
    """inference-doctor, experiments/inference-ci-reliability-001: a change of 10 % of the mean of runs.

    It is inconclusive (no alarm here) if a side's coefficient of variation is above 5 %.
    """
    ours = np.array([sample.rounds.mean() for sample in candidate])
    theirs = np.array([sample.rounds.mean() for sample in baseline])
    if min(ours.size, theirs.size) < 2:
        return False
    if max(side.std(ddof=1) / side.mean() for side in (ours, theirs)) > 0.05:
        return False
    return bool(ours.mean() >= 1.1 * theirs.mean())


def students_t(
    candidate: Sequence[RunSample], baseline: Sequence[RunSample], layout: Layout, *, probes: bool
) -> tuple[float, float]:
    """Student's t on the logarithms of run medians, of differences in pairs, else of two sides with one variance.

    With ``probes``, those of the reference probes are subtracted; rounds in turns need none.

    Returns:
        The estimate and what it must exceed: at 0.5 %, the error rate of this suite's comparisons.
    """
    ours, theirs = levels(candidate), levels(baseline)
    for side, samples in ((ours, candidate), (theirs, baseline)):
        own = all_known([sample.probe_level for sample in samples])
        if probes and own is not None:
            side -= own
    if layout == Layout.STORED:
        change, freedom = float(ours.mean() - theirs.mean()), ours.size + theirs.size - 2
        squares = float(ours.var() * ours.size + theirs.var() * theirs.size)
        error = np.sqrt(squares / freedom * (1 / ours.size + 1 / theirs.size))
    else:
        if layout == Layout.INTERLEAVED:
            pairs = zip(candidate, baseline, strict=True)
            differences = np.array([float(np.median(np.log(one.rounds / other.rounds))) for one, other in pairs])
        else:
            differences = ours - theirs
        change, freedom = float(differences.mean()), differences.size - 1
        error = differences.std(ddof=1) / np.sqrt(differences.size)
    return change, float(stats.t.ppf(0.995, freedom) * error)


RULES: dict[str, Rule] = {
    "optimum-habana (0.95, one run)": optimum_habana,
    "TensorRT-LLM (5 %, one run)": tensorrt_llm,
    "pytest-benchmark mean:5%": _pytest_benchmark(np.mean),
    "pytest-benchmark median:5%": _pytest_benchmark(np.median),
    "pytest-benchmark min:5%": _pytest_benchmark(np.min),
    "asv (1.1 and U-test)": asv,
    "Welch's t on rounds": welch_on_rounds,
    "U-test on rounds": u_test_on_rounds,
    "criterion (2 %, one run)": criterion,
    "Firecracker (p < 0.01, 5 %)": firecracker,
    "inference-doctor (Welch 90 %)": inference_doctor,
    "inference-doctor (CV 5 %)": inference_doctor_cv,
}
