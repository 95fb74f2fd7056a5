"""From the runs of a case to its verdicts: which baselines apply, and what the comparison with each comes to.

Its floor is between the stores, which know the baselines, and the runtime, which measures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.statistics.verdict import Comparison, compare, compare_with_published
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.resolution import Match, Resolution
from gaudi_perf.vocabulary.measurement import Run
from gaudi_perf.vocabulary.verdict import WORST_FIRST, Verdict, VerdictKind


def judge_runs(runs: Sequence[Run], store: BaselineStore, against: str, tolerance: float) -> list[Verdict]:
    """Hold the runs of a case against every baseline that applies.

    Args:
        runs: one or more runs of the same case on the same stack.
        store: the baselines.
        against: the baseline that was named, or empty for those of the same and of the newest earlier version.
        tolerance: the slowdown that nobody minds, 0.05 for 5 %.

    Returns:
        A verdict for each baseline, the worst first; one alone if there is none or the measurement is INVALID.

    Raises:
        UserError: a baseline that is needed is malformed, or ``against`` names none.
    """
    problems = list(dict.fromkeys(problem for run in runs for problem in run.measurement.problems))
    if problems:
        advice = "Mend the cause and measure again; an invalid measurement is never judged or stored as a baseline."
        return [Verdict(kind=VerdictKind.INVALID, reason="; ".join(problems), tolerance=tolerance, advice=advice)]
    resolution = store.resolve(runs[-1], against or None)
    if not resolution.matches:
        return [_no_baseline(resolution, tolerance)]
    verdicts = [_verdict(runs, match, tolerance) for match in resolution.matches]
    return sorted(verdicts, key=lambda verdict: WORST_FIRST.index(verdict.kind))


def _verdict(runs: Sequence[Run], match: Match, tolerance: float) -> Verdict:
    candidate = [_sample(run.measurement.latencies_s, run.measurement.probes_s) for run in runs]
    if match.case.published is not None:
        comparison = compare_with_published(candidate, match.case.published.latency_s, tolerance=tolerance)
    else:
        baseline = [_sample(run.latencies_s, run.probes_s) for run in match.case.runs]
        comparison = compare(candidate, baseline, tolerance=tolerance)
    never_steady = [run.measurement.warm_up.reason for run in runs if not run.measurement.warm_up.steady]
    return _document(comparison, match, never_steady)


def _document(comparison: Comparison, match: Match, never_steady: Sequence[str]) -> Verdict:
    kind, reason, advice = comparison.kind, comparison.reason, comparison.advice
    if never_steady:
        kind = VerdictKind.INCONCLUSIVE
        reason = f"a run never became steady ({never_steady[0]}), so its rounds still drift"
        advice = "Raise --warm-up-limit or --time-budget, or find what keeps the machine busy."
    return Verdict(
        kind=kind,
        reason=reason,
        role=match.role,
        baseline=match.label,
        baseline_stack=match.stack,
        ratio=comparison.ratio,
        low=comparison.low,
        high=comparison.high,
        confidence=comparison.confidence,
        tolerance=comparison.tolerance,
        smallest_visible_slowdown=comparison.smallest_visible_slowdown,
        baseline_median_s=match.case.level_s,
        advice=advice,
    )


def _no_baseline(resolution: Resolution, tolerance: float) -> Verdict:
    advice = "Store this level with --refresh-baselines."
    return Verdict(kind=VerdictKind.NO_BASELINE, reason=f"{resolution.reason}.", tolerance=tolerance, advice=advice)


def _sample(latencies_s: Sequence[float], probes_s: Sequence[float] | None) -> RunSample:
    return RunSample(rounds=np.asarray(latencies_s), probes=None if probes_s is None else np.asarray(probes_s))
