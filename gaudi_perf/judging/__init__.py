"""From the runs of a case to its verdicts: which baselines apply, and what the comparison with each comes to.

Its floor is between the stores, which know the baselines, and the runtime, which measures.
"""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.judging.case import CaseJudge, Judgement
from gaudi_perf.judging.evidence import CaseEvidence, evidence_against_baselines, evidence_side_by_side
from gaudi_perf.judging.rules import Rules
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.measurement import Run
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

__all__ = [
    "CaseEvidence",
    "CaseJudge",
    "Judgement",
    "Rules",
    "evidence_against_baselines",
    "evidence_side_by_side",
    "judge_runs",
    "refresh_verdicts",
]


def judge_runs(runs: Sequence[Run], store: BaselineStore, against: str, rules: Rules | None = None) -> list[Verdict]:
    """Hold the runs of a case against every baseline that applies, once.

    Args:
        runs: one or more runs of the same case on the same stack.
        store: the baselines.
        against: the baseline that was named, or empty for those of the same and of the newest earlier version.
        rules: tolerances, and which metrics gate.

    Returns:
        A verdict for each baseline and each metric that gates, the worst first; one alone if there is no baseline or
        the measurement is INVALID.

    Raises:
        UserError: a baseline that is needed is malformed, or ``against`` names none.
    """
    return list(CaseJudge(rules or Rules()).judge(evidence_against_baselines(runs, store, against)).verdicts)


def refresh_verdicts(runs: Sequence[Run], store: BaselineStore, rules: Rules | None = None) -> dict[str, VerdictKind]:
    """How runs compare with the levels that a refresh would replace, by case id, where that can be told.

    The level of the same version goes before that of the newest earlier one. Cases with runs on several devices or
    stacks, and those whose comparison is INCONCLUSIVE, are left out: the refresh then goes by its margin.

    Raises:
        UserError: a baseline that is needed is malformed.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.measurement.valid and run.measurement.warm_up.steady:
            groups.setdefault(run.case.id, []).append(run)
    found: dict[str, VerdictKind] = {}
    for case_id, same in groups.items():
        if any(
            (run.case, run.device.name, run.stack) != (same[0].case, same[0].device.name, same[0].stack) for run in same
        ):
            continue
        verdicts = [verdict for verdict in judge_runs(same, store, "", rules) if verdict.metric == LATENCY]
        verdicts.sort(key=lambda verdict: verdict.role != "drift")
        if verdicts and verdicts[0].kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.UNCHANGED):
            found[case_id] = verdicts[0].kind
    return found
