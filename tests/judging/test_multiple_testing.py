"""One false-alarm rate over the cases of a session, though each test is judged before the next case is measured."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.judging import CaseJudge, Rules
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.statistics.multiple_testing import lond_level
from gaudi_perf.statistics.sequential import StoppingPlan
from gaudi_perf.vocabulary.verdict import Advice, Reason, SharedErrorRate, VerdictKind
from tests.judging.factories import against, case_of, noisy_runs

STORED = noisy_runs(5, seed="stored", session="20260130T120000.000000Z-00000001")


def judge_all(
    levels: list[float], runs: int = 5, cases: int | None = None, plan: StoppingPlan | None = None
) -> tuple[MultipleTesting, list[VerdictKind]]:
    testing, kinds = MultipleTesting(cases or len(levels)), []
    for number, level in enumerate(levels):
        measured = noisy_runs(runs, level=level, seed=f"case {number}")
        judge = CaseJudge(testing.rules(Rules()), plan)
        for count in [runs] if plan is None else range(plan.first, runs + 1):
            judged = judge.judge(against(measured[:count], STORED))
            if judged.settled:
                break
        testing.add(case_of(number), judged)
        kinds.append(judged.verdicts[0].kind)
    return testing, kinds


def test_a_large_slowdown_fails_its_test_among_many() -> None:
    testing, kinds = judge_all([1.0, 1.25, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert kinds.count(VerdictKind.REGRESSED) == 1 and kinds[1] is VerdictKind.REGRESSED
    conclusion = testing.conclude()
    assert conclusion.added == {}
    assert conclusion.error_rate == SharedErrorRate(cases=8, rate=0.01)


def middling() -> float:
    """A level that is certainly slower by itself, and not as one of many."""
    for level in np.arange(1.04, 1.12, 0.001):
        evidence = against(noisy_runs(5, level=float(level), seed="case 0"), STORED)
        (alone,) = CaseJudge(Rules()).judge(evidence).verdicts
        (among,) = CaseJudge(MultipleTesting(40).rules(Rules())).judge(evidence).verdicts
        if alone.kind is VerdictKind.REGRESSED and among.kind is VerdictKind.INCONCLUSIVE:
            return float(level)
    raise AssertionError("there is none")


def test_what_is_certain_by_itself_may_not_be_among_many() -> None:
    level = middling()
    testing, kinds = judge_all([level, *[1.0] * 7], cases=40)
    assert VerdictKind.REGRESSED not in kinds and kinds[0] is VerdictKind.INCONCLUSIVE
    assert testing.conclude().added == {}


def test_what_all_cases_share_is_certain_in_the_end() -> None:
    testing, kinds = judge_all([middling() + 0.002] * 8)
    added = testing.conclude().added
    assert VerdictKind.INCONCLUSIVE in kinds, "each is judged before the others are known"
    assert {case_of(number) for number, kind in enumerate(kinds) if kind is not VerdictKind.REGRESSED} == set(added)
    assert all(verdict.kind is VerdictKind.REGRESSED for verdict in added.values())
    common = testing.conclude().common
    assert common is not None and common.regressed == common.compared == 8


def test_it_is_also_where_runs_are_as_many_as_it_takes() -> None:
    testing, kinds = judge_all([1.049] * 12, plan=StoppingPlan(most=5))
    added = testing.conclude().added
    assert VerdictKind.INCONCLUSIVE in kinds
    assert {case_of(number) for number, kind in enumerate(kinds) if kind is VerdictKind.INCONCLUSIVE} == set(added)


def test_in_a_slow_session_a_case_that_is_slower_than_the_others_is_added() -> None:
    testing = MultipleTesting(7)
    without_probes = [
        msgspec.structs.replace(run, measurement=msgspec.structs.replace(run.measurement, probes_s=None))
        for run in STORED
    ]
    for number, level in enumerate([1.03, 1.03, 1.03, 1.12, 1.03, 1.03, 1.03]):
        measured = noisy_runs(5, level=level, seed=f"case {number}")
        judged = CaseJudge(testing.rules(Rules())).judge(against(measured, without_probes))
        assert judged.verdicts[0].kind is VerdictKind.INCONCLUSIVE
        testing.add(case_of(number), judged)
    added = testing.conclude().added
    assert list(added) == [case_of(3)]
    verdict = added[case_of(3)]
    assert verdict.kind is VerdictKind.REGRESSED and verdict.reason is Reason.SLOWER_THAN_OTHERS
    assert verdict.ratio == pytest.approx(1.12 / 1.03, abs=0.01)
    assert verdict.advice is Advice.ACCEPT_OR_WAIVE


def test_a_session_without_comparisons_says_nothing() -> None:
    assert MultipleTesting(3).conclude().error_rate is None


@given(
    st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=30),
    st.floats(1e-4, 0.5),
)
def test_what_is_called_on_the_way_is_called_in_the_end(evidence: list[float], rate: float) -> None:
    called: list[float] = []
    for p in evidence:
        if p <= lond_level(len(evidence), len(called), rate):
            called.append(p)
    ordered = sorted(evidence)
    upheld = max((k for k in range(1, len(ordered) + 1) if ordered[k - 1] <= rate * k / len(ordered)), default=0)
    assert len(called) <= upheld
    assert all(p <= rate * upheld / len(ordered) * (1 + 1e-12) for p in called)


def test_the_rate_holds_where_nothing_changed_and_sessions_are_shared() -> None:
    rng = np.random.default_rng(5)
    from scipy.special import ndtr

    alarms, sessions, cases, rate = 0, 4000, 8, 0.05
    for _ in range(sessions):
        shared, called = rng.normal(), 0
        for _ in range(cases):
            p = 1 - ndtr(np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.normal())
            called += p <= lond_level(cases, called, rate)
        alarms += called > 0
    assert alarms / sessions <= rate


@pytest.mark.parametrize(("cases", "called", "rate"), [(0, 0, 0.01), (2, 3, 0.01), (2, 0, 0.0), (2, 0, 1.0)])
def test_levels_that_are_none(cases: int, called: int, rate: float) -> None:
    with pytest.raises(ValueError):
        lond_level(cases, called, rate)
