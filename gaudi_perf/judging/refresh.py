"""How runs compare with the stored levels that a refresh would replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaudi_perf.judging.case import CaseJudge, Judgement, Rules
from gaudi_perf.judging.evidence import evidence_against_baselines
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.judging.noise import NoiseHistory
from gaudi_perf.judging.samples import sample_of
from gaudi_perf.statistics.noise import NoisePrior, allowed_range
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import JudgedLevel
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind


def refresh_verdicts(
    runs: Sequence[Run], store: BaselineStore, rules: Rules | None = None, history: NoiseHistory | None = None
) -> dict[Case, JudgedLevel]:
    """Compare runs with the levels that a refresh would replace, all cases as one multiple testing.

    The level of the same version goes before that of the newest earlier one, which counts where the version has none:
    a level that was slower than an earlier version's was accepted when it was stored. Published numbers are no level
    that is replaced. Cases with runs on several devices or stacks are left out. There, and where a comparison is
    INCONCLUSIVE, the refresh goes by its margin.

    Raises:
        UserError: a baseline that is needed is malformed.
    """
    groups: dict[Case, list[Run]] = {}
    for run in runs:
        if run.usable:
            groups.setdefault(run.case, []).append(run)
    alike = {
        case: same
        for case, same in groups.items()
        if all((run.device.name, run.stack) == (same[0].device.name, same[0].stack) for run in same)
    }
    testing = MultipleTesting(len(alike))
    rules = rules or Rules()
    rules = replace(rules, gates=rules.gates | {LATENCY})
    judged: dict[Case, Judgement] = {}
    for case, same in alike.items():
        evidence = evidence_against_baselines(same, store, "", history)
        measured = [reference for reference in evidence.references if not reference.published]
        replaced = [reference for reference in measured if reference.role == "drift"] or measured
        judged[case] = CaseJudge(testing.rules(rules)).judge(replace(evidence, references=tuple(replaced)))
        testing.add(case, judged[case])
    added = testing.conclude().added
    found = {}
    for case, one in judged.items():
        verdicts = [added[case], *one.verdicts] if case in added else one.verdicts
        latency = next(verdict for verdict in verdicts if verdict.metric == LATENCY)
        worse, noted = _other_regressions(verdicts), _other_regressions(one.others)
        found[case] = JudgedLevel(latency, worse, noted, _allowed_range(alike[case], history))
    return found


def _allowed_range(runs: Sequence[Run], history: NoiseHistory | None) -> float:
    """How far these runs may lie apart by the noise that is known of the case, or assumed."""
    estimate = None
    if history is not None:
        sessions = {run.session_id for run in runs}
        estimate = history.estimate(runs[-1].comparability, runs[-1].stack, sessions, probes=False)
    return allowed_range([sample_of(run) for run in runs], NoisePrior() if estimate is None else estimate.prior)


def _other_regressions(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    return tuple(one for one in verdicts if one.kind == VerdictKind.REGRESSED and one.metric != LATENCY)
