"""The verdicts of one case: other metrics, sessions, what would settle it, and interim analyses after every run."""

from __future__ import annotations

import msgspec
import pytest

from gaudi_perf.judging import CaseJudge, Rules, evidence_side_by_side
from gaudi_perf.judging.samples import sample_of
from gaudi_perf.reports.wording import advice, reason
from gaudi_perf.session.judge import seconds_per_run
from gaudi_perf.statistics.sequential import StoppingPlan
from gaudi_perf.vocabulary.metrics import TITLES, Metric
from gaudi_perf.vocabulary.run import Measurement, Run
from gaudi_perf.vocabulary.verdict import StopReason, VerdictKind
from tests.judging.factories import against, noisy_runs
from tests.stores.factories import make_run

STORED = noisy_runs(5, seed="stored", session="20260130T120000.000000Z-00000001", compilation=20.0)
SLOWER: dict[Metric, dict[str, float]] = {
    "first-token": {"first_token": 0.15},
    "per-token": {"per_token": 0.012},
    "compilation": {"compilation": 60.0},
    "memory": {"memory": 1_300_000_000},
}


@pytest.mark.parametrize("metric", list(SLOWER))
def test_every_metric_is_judged_and_gates_only_where_told(metric: Metric) -> None:
    slow = {"compilation": 20.0, **SLOWER[metric]}
    evidence = against(noisy_runs(5, seed="now", **slow), STORED)  # type: ignore[arg-type]
    told = CaseJudge(Rules()).judge(evidence)
    assert [verdict.metric for verdict in told.verdicts] == ["latency"]
    assert told.verdicts[0].kind is VerdictKind.UNCHANGED
    assert {verdict.metric for verdict in told.others} == set(TITLES) - {"latency"}
    assert [verdict.metric for verdict in told.others if verdict.kind is VerdictKind.REGRESSED] == [metric]

    gated = CaseJudge(Rules(gates=frozenset({"latency", metric}))).judge(evidence)
    assert (gated.verdicts[0].metric, gated.verdicts[0].kind) == (metric, VerdictKind.REGRESSED)
    assert gated.verdicts[1].kind is VerdictKind.UNCHANGED


def test_each_metric_has_a_tolerance_of_its_own() -> None:
    evidence = against(noisy_runs(5, seed="now", first_token=0.12), STORED)
    usual = CaseJudge(Rules()).judge(evidence).others
    loose = CaseJudge(Rules(tolerances={**Rules().tolerances, "first-token": 0.5})).judge(evidence).others
    kinds = [next(one.kind for one in found if one.metric == "first-token") for found in (usual, loose)]
    assert kinds == [VerdictKind.REGRESSED, VerdictKind.UNCHANGED]


@pytest.mark.parametrize("earlier", [None, ["bloomz7b-1x-eager-nocache"]])
def test_peak_memory_is_not_judged_where_other_cases_ran_before(earlier: list[str] | None) -> None:
    judged = CaseJudge(Rules()).judge(against(noisy_runs(5, memory=2 * 10**9, earlier=earlier), STORED))
    assert "memory" not in {verdict.metric for verdict in judged.others}
    (note,) = judged.notes
    assert "peak memory is not judged: other cases, or unknown ones, ran before" in note


def test_a_gate_without_evidence_is_no_pass() -> None:
    rules = Rules(gates=frozenset({"memory"}))
    evidence = against(noisy_runs(5, level=1.5, earlier=None), STORED)
    for judged in (CaseJudge(rules).judge(evidence), CaseJudge(rules, StoppingPlan(most=20)).judge(evidence)):
        assert judged.verdicts[0].kind is VerdictKind.NO_BASELINE and "peak memory" in reason(judged.verdicts[0])
        latency = next(verdict for verdict in judged.others if verdict.metric == "latency")
        assert latency.kind is VerdictKind.REGRESSED, "what does not gate is shown all the same"
        assert judged.settled


def test_runs_carry_their_session_so_that_sessions_are_learned() -> None:
    sessions = [f"2026013{day}T120000.000000Z-0000000{day}" for day in range(4)]
    levels = (1.0, 1.06, 0.95, 1.03)
    stored = [
        run for n, level in zip(sessions, levels, strict=True) for run in noisy_runs(3, level=level, session=n, seed=n)
    ]
    assert [sample_of(run).session for run in stored][::3] == sessions
    evidence = against(noisy_runs(3, level=1.06, session="20260201T120000.000000Z-00000009", seed="now"), stored)
    (verdict,) = CaseJudge(Rules()).judge(evidence).verdicts
    assert verdict.kind is VerdictKind.INCONCLUSIVE, "sessions lie so far apart that 6 % may be one of them"
    single = [run for run in noisy_runs(12, session=sessions[0], seed="one")]
    evidence = against(noisy_runs(3, level=1.10, session="20260201T120000.000000Z-00000009", seed="now"), single)
    assert CaseJudge(Rules()).judge(evidence).verdicts[0].kind is VerdictKind.REGRESSED


def test_inconclusive_says_runs_and_minutes() -> None:
    candidate, baseline = noisy_runs(3, spread=0.04, label="new"), noisy_runs(3, spread=0.04, seed="b", label="old")
    (verdict,) = CaseJudge(Rules()).judge(evidence_side_by_side(candidate, baseline), seconds_per_run=30.0).verdicts
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert verdict.more_runs is not None and verdict.more_runs >= 1
    assert verdict.more_seconds == pytest.approx(verdict.more_runs * 2 * 30.0)
    assert f"About {verdict.more_runs} more runs of each stack (" in advice(verdict)
    assert advice(verdict).endswith(" minutes) would settle it.") or " seconds) would" in advice(verdict)


def test_another_run_costs_its_own_phases_and_a_start_of_its_group() -> None:
    def timed(**phases: float) -> Run:

        run = make_run()
        return msgspec.structs.replace(run, measurement=msgspec.structs.replace(run.measurement, phases_s=phases))

    paid, shared = timed(**{"start": 2.0, "start: launcher": 1.5, "load": 8.0, "rounds": 5.0}), timed(rounds=7.0)
    assert seconds_per_run([shared], [paid, shared]) == pytest.approx(17.0)
    assert seconds_per_run([paid, shared], [paid, shared]) == pytest.approx(16.0)
    assert seconds_per_run([make_run()], []) is None


# ---- side by side


def test_side_by_side_needs_the_same_device_and_valid_runs() -> None:
    ours, theirs = noisy_runs(3, label="new"), noisy_runs(3, seed="b", label="old")
    (verdict,) = CaseJudge(Rules()).judge(evidence_side_by_side(ours, theirs)).verdicts
    assert (verdict.role, verdict.baseline, verdict.kind) == ("side by side", "old", VerdictKind.UNCHANGED)
    other = [make_run(device="gaudi3")] * 3
    assert CaseJudge(Rules()).judge(evidence_side_by_side(ours, other)).verdicts[0].kind is VerdictKind.NO_BASELINE
    throttled = CaseJudge(Rules()).judge(evidence_side_by_side(ours, [*theirs[:2], make_run(problems=["throttled"])]))
    assert throttled.verdicts[0].kind is VerdictKind.INVALID and "throttled" in throttled.verdicts[0].text


# ---- interim analyses after every run


def stops_after(level: float, spread: float = 0.003, most: int = 20) -> tuple[int, StopReason, VerdictKind]:
    judge = CaseJudge(Rules(), StoppingPlan(most=most))
    runs = noisy_runs(most, level=level, spread=spread, seed="now")
    for count in range(1, most + 1):
        judged = judge.judge(against(runs[:count], STORED))
        if judged.settled:
            return count, judged.verdicts[0].stop, judged.verdicts[0].kind
    raise AssertionError("it never stopped")


def test_analyses_stop_as_soon_as_the_verdict_is_clear() -> None:
    assert stops_after(1.2) == (3, StopReason.CLEAR, VerdictKind.REGRESSED)
    assert stops_after(1.0) == (3, StopReason.CLEAR, VerdictKind.UNCHANGED)


def test_analyses_stop_when_more_runs_cannot_help() -> None:
    count, stop, kind = stops_after(1.0, spread=0.5)
    assert kind is VerdictKind.INCONCLUSIVE and count < 20
    assert stop is StopReason.FUTILE


def test_analyses_stop_at_the_end_of_the_budget() -> None:
    judge = CaseJudge(Rules(), StoppingPlan(most=20))
    runs = noisy_runs(4, level=1.05, spread=0.01, seed="now")
    assert not judge.judge(against(runs, STORED)).settled
    judged = judge.judge(against(runs, STORED), budget_spent=True)
    assert judged.settled and judged.verdicts[0].stop is StopReason.BUDGET
    assert "; stopped: the budget is spent" in reason(judged.verdicts[0])
    early = CaseJudge(Rules(), StoppingPlan(most=20)).judge(against(runs[:1], STORED), budget_spent=True)
    assert early.settled, "also before the first analysis"


def test_what_an_analysis_settled_stays() -> None:
    judge = CaseJudge(Rules(), StoppingPlan(most=20))
    slow = noisy_runs(3, level=1.2, seed="now")
    first = judge.judge(against(slow, STORED)).verdicts[0]
    later = judge.judge(against([*slow, *noisy_runs(3, level=0.9, seed="later")], STORED)).verdicts[0]
    assert first.kind is later.kind is VerdictKind.REGRESSED and later.ratio == first.ratio


def test_runs_that_never_became_steady_need_no_more_analyses() -> None:
    evidence = against(noisy_runs(1), STORED)
    judged = CaseJudge(Rules(), StoppingPlan(most=20)).judge(
        type(evidence)(evidence.runs, evidence.references, never_steady=("limit",))
    )
    assert judged.settled and judged.verdicts[0].kind is VerdictKind.INCONCLUSIVE


def test_rounds_in_turns_cancel_what_both_stacks_meet() -> None:
    storm = [1 + 0.8 * ((number * 7) % 10) / 10 for number in range(12)]

    def pair(level: float, seed: int) -> list[Run]:
        return [
            make_run([level * value * (1 + 0.002 * ((number * seed) % 5)) for number, value in enumerate(storm)])
            for _ in range(5)
        ]

    slow, same = pair(1.08, 3), pair(1.0, 2)
    turns = CaseJudge(Rules()).judge(evidence_side_by_side(slow, same, rounds_in_turns=True)).verdicts[0]
    assert turns.kind is VerdictKind.REGRESSED and turns.ratio == pytest.approx(1.08, abs=0.01)
    short = [msgspec.structs.replace(run, measurement=_first_rounds(run, 7)) for run in slow]
    cut = CaseJudge(Rules()).judge(evidence_side_by_side(short, same, rounds_in_turns=True)).verdicts[0]
    assert cut.kind is VerdictKind.REGRESSED and cut.ratio == pytest.approx(1.08, abs=0.01)


def _first_rounds(run: Run, count: int) -> Measurement:
    return msgspec.structs.replace(run.measurement, latencies_s=run.measurement.latencies_s[:count])
