"""From the runs of a case to its verdicts: which baselines apply, and what the comparison with each comes to.

Its floor is between the stores, which know the baselines, and the runtime, which measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaudi_perf.judging.case import CaseJudge, Judgement
from gaudi_perf.judging.evidence import CaseEvidence, evidence_against_baselines, evidence_side_by_side
from gaudi_perf.judging.family import SessionFamily
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
    """How the latencies of runs compare with the levels that a refresh would replace, by case id, where that is clear.

    The level of the same version goes before that of the newest earlier one, which counts where the version has none:
    a level that was slower than an earlier version's was accepted when it was stored. Published numbers are no level
    that is replaced. Cases are judged as one family.
    Cases with runs on several devices or stacks, and those whose comparison is INCONCLUSIVE, are left out: the refresh
    then goes by its margin.

    Raises:
        UserError: a baseline that is needed is malformed.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.measurement.valid and run.measurement.warm_up.steady:
            groups.setdefault(run.case.id, []).append(run)
    alike = {case_id: same for case_id, same in groups.items() if _alike(same)}
    family = SessionFamily(len(alike))
    found: dict[str, VerdictKind] = {}
    for case_id, same in alike.items():
        evidence = evidence_against_baselines(same, store, "")
        measured = [reference for reference in evidence.references if not reference.published]
        replaced = [reference for reference in measured if reference.role == "drift"] or measured
        evidence = replace(evidence, references=tuple(replaced))
        judgement = CaseJudge(replace(family.rules(rules or Rules()), gates=frozenset({LATENCY}))).judge(evidence)
        family.add(case_id, judgement)
        found[case_id] = judgement.verdicts[0].kind
    found.update(dict.fromkeys(family.conclude().added, VerdictKind.REGRESSED))
    return {case_id: kind for case_id, kind in found.items() if kind in _CLEAR}


_CLEAR = (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.UNCHANGED)


def _alike(runs: Sequence[Run]) -> bool:
    first = runs[0]
    return all((run.case, run.device.name, run.stack) == (first.case, first.device.name, first.stack) for run in runs)
