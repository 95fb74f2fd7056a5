"""``--runs auto`` and metrics that gate, end to end with the scripted engine."""

from __future__ import annotations

import pytest

from gaudi_perf.vocabulary.verdict import StopReason
from tests.suite.conftest import Scripted, Suite
from tests.suite.test_side_by_side import beside, stack

CASES = ["-k", "bloomz7b-1x and kvcache"]
QUICK = ["--rounds", "6", "--time-budget", "5", "--new-tokens", "4", "--benchmark-disable"]
SLOWED, SAME = "bloomz7b-1x-graphs-kvcache", "bloomz7b-1x-eager-kvcache"


def test_runs_stop_when_the_verdict_is_clear(suite: Suite, scripted: Scripted) -> None:
    suite(*CASES, *QUICK, "--refresh-baselines", "--runs", "5", injected=scripted())
    outcome = suite(*CASES, *QUICK, "--runs", "auto", injected=scripted(slower=[{"when": ["graphs"], "by": 0.2}]))
    assert outcome.status == 1
    assert outcome.verdicts() == {SLOWED: "REGRESSED", SAME: "UNCHANGED"}, outcome.output
    for report in outcome.session.cases:
        assert report.verdicts[0].stop is StopReason.CLEAR
        assert 3 <= len(report.run_ids) <= 6, outcome.output
    assert "stopped: the verdict is clear" in outcome.output


def test_side_by_side_runs_stop_at_their_most(suite: Suite) -> None:
    new = stack("new", spread=0.2, seed=1)
    outcome = suite(
        *CASES, *QUICK, "--runs", "auto", "--max-runs", "3", *beside(suite, new, stack("old", spread=0.2, seed=2))
    )
    assert "REGRESSED" not in outcome.verdicts().values(), outcome.output
    for report in outcome.session.cases:
        assert len(report.run_ids) == len(report.baseline_run_ids) == 3
        assert report.verdicts[0].stop in (StopReason.BUDGET, StopReason.FUTILE)
        assert report.verdicts[0].more_runs is None or report.verdicts[0].more_seconds is not None
    if any(verdict.more_runs for report in outcome.session.cases for verdict in report.verdicts):
        assert "of each stack (" in " ".join(outcome.output.split())


def test_no_time_is_one_pass(suite: Suite, scripted: Scripted) -> None:
    suite(*CASES, *QUICK, "--refresh-baselines", "--runs", "3", injected=scripted())
    outcome = suite(*CASES, *QUICK, "--runs", "auto", "--max-minutes", "0.0001", injected=scripted())
    for report in outcome.session.cases:
        assert len(report.run_ids) == 1
        assert report.verdicts[0].stop in (StopReason.BUDGET, StopReason.CLEAR)


def test_without_a_baseline_one_run_is_enough(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*CASES, *QUICK, "--runs", "auto", injected=scripted())
    assert set(outcome.verdicts().values()) == {"NO BASELINE"}
    assert all(len(report.run_ids) == 1 for report in outcome.session.cases)


def test_a_slow_first_token_fails_only_where_it_gates(suite: Suite, scripted: Scripted) -> None:
    suite(*CASES, *QUICK, "--refresh-baselines", "--runs", "5", injected=scripted())
    slow = scripted(slow_first_token={"when": ["graphs"], "by": 3.0})
    shown = suite(*CASES, *QUICK, "--runs", "3", injected=slow)
    assert shown.status == 0 and set(shown.verdicts().values()) == {"UNCHANGED"}, shown.output
    words = " ".join(shown.output.split())
    assert f"{SLOWED}-n4: time to first token REGRESSED against cpu/torch-2.13.0" in words
    assert "it does not gate (--gate first-token makes it)" in words

    gated = suite(*CASES, *QUICK, "--runs", "3", "--gate", "latency,first-token", injected=slow)
    assert gated.status == 1
    assert gated.verdicts() == {SLOWED: "REGRESSED", SAME: "UNCHANGED"}, gated.output
    assert "REGRESSED (first-token)" in gated.output


@pytest.mark.slow
def test_peak_memory_is_judged_after_the_same_cases_only(suite: Suite, scripted: Scripted) -> None:
    suite(*CASES, *QUICK, "--refresh-baselines", "--runs", "5", injected=scripted())
    more = scripted(memory=1_500_000)
    gated = suite(*CASES, *QUICK, "--runs", "3", "--gate", "memory", injected=more)
    assert set(gated.verdicts().values()) == {"REGRESSED"}, gated.output
    assert "peak memory 50.0 % more" in gated.output
    alone = suite("-k", SAME, *QUICK, "--runs", "3", injected=more)
    assert alone.status == 0
    assert "peak memory is not judged: other cases, or unknown ones, ran before" in " ".join(alone.output.split())
