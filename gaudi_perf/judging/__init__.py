"""From the runs of a case to its verdicts: which baselines apply, and what the comparison with each comes to.

The numbers are those of ``statistics``, which knows no runs and no files.
"""

from gaudi_perf.judging.case import CaseJudge, Judgement, Rules
from gaudi_perf.judging.evidence import CaseEvidence, evidence_against_baselines, evidence_side_by_side
from gaudi_perf.judging.noise import NoiseHistory
from gaudi_perf.judging.refresh import refresh_verdicts

__all__ = [
    "CaseEvidence",
    "CaseJudge",
    "Judgement",
    "NoiseHistory",
    "Rules",
    "evidence_against_baselines",
    "evidence_side_by_side",
    "refresh_verdicts",
]
