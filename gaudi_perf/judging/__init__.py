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
from gaudi_perf.vocabulary.verdict import Verdict

__all__ = [
    "CaseEvidence",
    "CaseJudge",
    "Judgement",
    "Rules",
    "evidence_against_baselines",
    "evidence_side_by_side",
    "judge_runs",
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
