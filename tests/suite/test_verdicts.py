"""From measurements to verdicts, with the scripted engine: its times are exact and it needs no torch."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.waiver import Waiver
from tests.suite.conftest import Scripted, Suite

CASES = ["-k", "bloomz7b-1x"]
QUICK = ["--rounds", "6", "--time-budget", "5", "--new-tokens", "4"]
REFRESH = ["--refresh-baselines", "--runs", "5"]


def test_no_baseline_is_no_pass(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*CASES, *QUICK, injected=scripted())
    assert outcome.status == 0
    assert set(outcome.verdicts().values()) == {"NO BASELINE"}
    assert "4 no baseline" in outcome.output
    assert "passed" not in outcome.output.splitlines()[-1]


def test_require_baseline_fails_what_has_none(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*CASES, *QUICK, "--require-baseline", injected=scripted())
    assert outcome.status == 1
    assert "4 failed" in outcome.output


def test_each_model_and_device_count_is_loaded_once(suite: Suite, scripted: Scripted, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    outcome = suite("-k", "1x", *QUICK, injected=scripted(count_loads=str(loads)))
    assert len(outcome.verdicts()) == 8
    assert sorted(loads.read_text().splitlines()) == ["bloomz176b 1", "bloomz7b 1"]


def test_a_slowdown_fails_exactly_the_slowed_cases(suite: Suite, scripted: Scripted) -> None:
    refreshed = suite(*CASES, *QUICK, *REFRESH, injected=scripted())
    assert refreshed.status == 0, refreshed.output

    same = suite(*CASES, *QUICK, "--runs", "3", injected=scripted())
    assert set(same.verdicts().values()) == {"UNCHANGED"}, same.output

    slowed = suite(*CASES, *QUICK, "--runs", "3", injected=scripted(slower=[{"when": ["graphs"], "by": 0.15}]))
    assert slowed.status == 1
    failed = {case for case, verdict in slowed.verdicts().items() if verdict == "REGRESSED"}
    assert failed == {"bloomz7b-1x-graphs-kvcache", "bloomz7b-1x-graphs-nocache"}, slowed.output
    assert "2 failed" in slowed.output
    assert "% slower" in slowed.output and "torch-2.13.0" in slowed.output


def test_a_waived_regression_passes_until_its_version(suite: Suite, scripted: Scripted) -> None:
    one = ["-k", "bloomz7b-1x-graphs-kvcache", *QUICK]
    suite(*one, *REFRESH, injected=scripted())
    WaiverStore(suite.baselines).add(
        Waiver(
            case="bloomz7b-1x-graphs-kvcache-n4",
            device="cpu",
            kind="torch",
            reason="known, and being mended",
            until="2.14",
            added_on="2026-01-01",
        )
    )
    slower = [{"when": ["graphs"], "by": 0.5}]
    waived = suite(*one, "--runs", "3", injected=scripted(slower=slower))
    assert waived.status == 0, waived.output
    assert "1 waived" in waived.output and "known, and being mended (until torch-2.14)" in waived.output

    assert "waiver: bloomz7b-1x-graphs-kvcache-n4 on cpu until torch-2.14: known" in waived.output

    expired = suite(*one, "--runs", "3", injected=scripted(slower=slower, stack_version="2.14.0"))
    assert expired.status == 1
    assert "until torch-2.14; EXPIRED on torch-2.14.0: it fails again: known" in " ".join(expired.output.split())
    assert len(expired.session.waivers) == 1
    assert expired.verdicts() == {"bloomz7b-1x-graphs-kvcache": "REGRESSED"}


def test_refresh_keeps_every_round_of_every_run(suite: Suite, scripted: Scripted) -> None:
    suite(*CASES, *QUICK, *REFRESH, injected=scripted())
    (path,) = suite.baselines.glob("*/*.json")
    assert path.relative_to(suite.baselines) == Path("cpu/torch-2.13.0.json")
    baseline = BaselineStore(suite.baselines).read("cpu", "torch-2.13.0")
    assert len(baseline.cases) == 4
    assert all(len(case.runs) == 5 for case in baseline.cases)
    assert all(len(run.measurement.latencies_s) == 6 for case in baseline.cases for run in case.runs)


def test_a_run_document_is_written_for_every_run(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*CASES, *QUICK, injected=scripted(), GAUDI_PERF_RUNS="2")
    documents = [path for path in outcome.results.glob("*/*.json") if path.name != "session.json"]
    runs = [decode(path.read_bytes(), Run, str(path)) for path in documents]
    assert len(runs) == 8
    for run in runs:
        assert run.measurement.warm_up.latencies_s and run.measurement.token_times is not None
        assert len(run.measurement.token_ids) == 4
        assert run.host.cores >= 1


def test_pytest_benchmark_stores_the_latencies_of_the_worker(suite: Suite, scripted: Scripted, tmp_path: Path) -> None:
    stored = tmp_path / "benchmark.json"
    outcome = suite(
        *CASES, *QUICK, f"--benchmark-json={stored}", f"--junitxml={tmp_path / 'junit.xml'}", injected=scripted()
    )
    benchmarks = {entry["param"]: entry for entry in json.loads(stored.read_text())["benchmarks"]}
    documents = [path for path in outcome.results.glob("*/*.json") if path.name != "session.json"]
    for path in documents:
        run = decode(path.read_bytes(), Run, str(path))
        data = benchmarks[run.case.id]["stats"]["data"]
        assert len(data) == len(run.measurement.latencies_s)
        for shown, measured in zip(data, run.measurement.latencies_s, strict=True):
            assert abs(shown - measured) < 1e-9
    names = {element.get("name") for element in ElementTree.parse(tmp_path / "junit.xml").iter("property")}
    assert "gaudi-perf verdict" in names


def test_benchmark_disable_still_gives_verdicts(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*CASES, *QUICK, "--benchmark-disable", injected=scripted())
    assert outcome.status == 0
    assert len(outcome.verdicts()) == 4


def test_summary_fits_80_columns_and_is_plain_when_piped(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*CASES, *QUICK, "--benchmark-disable", injected=scripted(), COLUMNS="80")
    summary = outcome.output.split("= gaudi-perf =")[1]
    assert "\x1b" not in outcome.output
    table = [line for line in summary.splitlines() if line.startswith("bloomz7b-1x") and ":" not in line]
    assert len(table) == 8, "four cases, a row each in the table of verdicts and in that of times"
    assert all(len(line) <= 80 for line in table)
