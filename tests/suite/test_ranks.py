"""Groups of two ranks through the whole suite, with the scripted engine: their processes and collectives are real."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from gaudi_perf.stores.results import read_runs
from tests.suite.conftest import Scripted, Suite
from tests.suite.test_side_by_side import beside, stack

CASE = "bloomz7b-2x-graphs-kvcache"
TWO = ["--accelerator", "cpu", "--devices", "2", "--benchmark-disable"]
QUICK = ["--rounds", "6", "--time-budget", "5", "--new-tokens", "4"]


@pytest.mark.slow
def test_a_slow_rank_is_a_regression_that_names_it(suite: Suite, scripted: Scripted, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    first = scripted(count_loads=str(loads))
    stored = suite(*TWO, "-k", "bloomz7b-2x", *QUICK, "--refresh-baselines", "--runs", "2", injected=first)
    assert stored.status == 0, stored.output
    runs = read_runs(stored.results).runs
    assert len(runs) == 8 and len(loads.read_text().splitlines()) == 4, "in two runs by two ranks, for all variants"
    for run in runs:
        measurement = run.measurement
        assert measurement.rank_latencies_s is not None and len(measurement.rank_latencies_s) == 2
        assert measurement.latencies_s == [max(pair) for pair in zip(*measurement.rank_latencies_s, strict=True)]
        assert measurement.rank_skew is not None
        assert run.stack.settings["world-size"] == "2" and run.stack.settings["backend"] == "gloo"
        assert run.stack.settings["in-order-collectives"] == "true"
    assert "lags" not in stored.output

    slow = scripted(slow_rank={"rank": 1, "by": 0.50})
    page, short = tmp_path / "page.html", tmp_path / "short.md"
    outcome = suite(*TWO, "-k", CASE, *QUICK, "--perf-html", str(page), "--perf-markdown", str(short), injected=slow)
    assert outcome.status == 1
    assert outcome.verdicts() == {CASE: "REGRESSED"}, outcome.output
    sentence = "rank 1 lags: its forward pass alone takes "
    assert f"  ranks:     {sentence}" in outcome.output
    summary = " ".join(outcome.output.split("= gaudi-perf =")[1].split())
    assert f"{CASE}-n4: {sentence}" in summary
    assert sentence in page.read_text() and sentence in short.read_text()


@pytest.mark.ranks
def test_two_stacks_of_two_ranks_each(suite: Suite) -> None:
    new = stack("new", stack_version="2.14.0", slower=[{"when": ["graphs"], "by": 0.10}])
    outcome = suite(*TWO, "-k", CASE, *QUICK, *beside(suite, new, stack("old")))
    assert outcome.status == 0, outcome.output
    runs = {run.stack_label: run for run in read_runs(outcome.results).runs}
    assert {label: run.stack.version for label, run in runs.items()} == {"new": "2.14.0", "old": "2.13.0"}
    for run in runs.values():
        assert run.measurement.rank_latencies_s is not None and len(run.measurement.rank_latencies_s) == 2
        assert run.stack.settings["world-size"] == "2"
    levels = {label: statistics.median(run.measurement.latencies_s) for label, run in runs.items()}
    assert levels["new"] / levels["old"] == pytest.approx(1.10, abs=0.05)
    (verdict,) = outcome.session.cases[0].verdicts
    assert verdict.role == "side by side" and verdict.ratio == pytest.approx(levels["new"] / levels["old"], rel=0.01)
