"""From the runs of a case to its verdicts: which baselines apply, and what the comparison with each comes to.

Its floor is between the stores, which know the baselines, and the runtime, which measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaudi_perf.judging.case import CaseJudge, Judgement
from gaudi_perf.judging.evidence import CaseEvidence, evidence_against_baselines, evidence_side_by_side
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.judging.noise import NoiseHistory
from gaudi_perf.judging.rules import Rules
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.changes import JudgedLevel
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

__all__ = [
    "CaseEvidence",
    "CaseJudge",
    "Judgement",
    "NoiseHistory",
    "Rules",
    "evidence_against_baselines",
    "evidence_side_by_side",
    "judge_runs",
    "refresh_verdicts",
]


def judge_runs(
    runs: Sequence[Run],
    store: BaselineStore,
    against: str,
    rules: Rules | None = None,
    history: NoiseHistory | None = None,
) -> list[Verdict]:
    """Hold the runs of a case against every baseline that applies, once.

    Args:
        runs: one or more runs of the same case on the same stack.
        store: the baselines.
        against: the baseline that was named, or empty for those of the same and of the newest earlier version.
        rules: tolerances, and which metrics gate.
        history: teaches the usual noise.

    Returns:
        A verdict for each baseline and each metric that gates, the worst first; one alone if there is no baseline or
        the measurement is INVALID.

    Raises:
        UserError: a baseline that is needed is malformed, or ``against`` names none.
    """
    return list(CaseJudge(rules or Rules()).judge(evidence_against_baselines(runs, store, against, history)).verdicts)


def refresh_verdicts(
    runs: Sequence[Run], store: BaselineStore, rules: Rules | None = None, history: NoiseHistory | None = None
) -> dict[Case, JudgedLevel]:
    """How runs compare with the levels that a refresh would replace.

    The level of the same version goes before that of the newest earlier one, which counts where the version has none:
    a level that was slower than an earlier version's was accepted when it was stored. Published numbers are no level
    that is replaced. Cases are judged as one testing.
    Cases with runs on several devices or stacks are left out. There, and where a comparison is INCONCLUSIVE, the
    refresh goes by its margin.

    Raises:
        UserError: a baseline that is needed is malformed.
    """
    groups: dict[Case, list[Run]] = {}
    for run in runs:
        if not run.not_usable:
            groups.setdefault(run.case, []).append(run)
    alike = {case: same for case, same in groups.items() if _alike(same)}
    testing = MultipleTesting(len(alike))
    rules = rules or Rules()
    rules = replace(rules, gates=rules.gates | {LATENCY})
    judged: dict[Case, Judgement] = {}
    for case, same in alike.items():
        evidence = evidence_against_baselines(same, store, "", history)
        measured = [reference for reference in evidence.references if not reference.published]
        replaced = [reference for reference in measured if reference.role == "drift"] or measured
        evidence = replace(evidence, references=tuple(replaced))
        judged[case] = CaseJudge(testing.rules(rules)).judge(evidence)
        testing.add(case.id, judged[case])
    added = {case: found[case.id] for found in [testing.conclude().added] for case in judged if case.id in found}
    deciding = {case: [added[case], *one.verdicts] if case in added else one.verdicts for case, one in judged.items()}
    return {
        case: JudgedLevel(
            next(verdict for verdict in verdicts if verdict.metric == LATENCY),
            _other_regressions(verdicts),
            _other_regressions(judged[case].others),
        )
        for case, verdicts in deciding.items()
    }


def _other_regressions(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    return tuple(one for one in verdicts if one.kind == VerdictKind.REGRESSED and one.metric != LATENCY)


def _alike(runs: Sequence[Run]) -> bool:
    first = runs[0]
    return all((run.device.name, run.stack) == (first.device.name, first.stack) for run in runs)
