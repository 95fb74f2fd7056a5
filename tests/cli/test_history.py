from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, VerdictKind
from tests.cli.conftest import Invoke
from tests.stores.making import make_run, make_runs
from tests.vocabulary.factories import verdict_saying

StoreRuns = Callable[[Iterable[Run]], Path]


def test_rows_and_filters(invoke: Invoke, store_runs: StoreRuns) -> None:
    results = store_runs(
        [
            make_run(1.5, devices=8, started_at="2026-02-01T00:00:00Z"),
            make_run(1.0, version="1.23.0", started_at="2026-01-01T00:00:00Z", problems=["throttled\x1b[31m"]),
            make_run(1.0, device="gaudi3", steady=False),
        ]
    )
    done = invoke("history", "--results-dir", results)
    assert done.exit_code == 0
    assert done.output.index("2026-01-01") < done.output.index("2026-01-31") < done.output.index("2026-02-01")
    assert "INVALID: throttled\\x1b[31m" in done.output and "never steady" in done.output
    assert "1.50 s" in invoke("history", "--results-dir", results, "--case", "8x").output
    assert len(invoke("history", "--results-dir", results, "--stack", "1.23.0").output.splitlines()) == 3
    assert len(invoke("history", "--results-dir", results, "--device", "gaudi3").output.splitlines()) == 3
    done = invoke("history", "--results-dir", results, "--last", 1)
    assert "2026-02-01" in done.output and "2026-01" not in done.output and "newest 1 of 3 runs" in done.output
    done = invoke("history", "--results-dir", results, "--device", "gaudi9")
    assert done.exit_code == 2 and "3 runs can be read; the filters leave none" in done.output


def test_csv_on_stdout_and_in_a_file(invoke: Invoke, store_runs: StoreRuns, tmp_path: Path) -> None:
    results = store_runs(make_runs(1.0, count=3))
    rows = list(csv.DictReader(io.StringIO(invoke("history", "--results-dir", results, "--csv", "-").output)))
    assert len(rows) == 3 and float(rows[0]["latency_median_s"]) == 1.0
    done = invoke("history", "--results-dir", results, "--csv", tmp_path / "x.csv", "--rounds")
    assert "15 rows written" in done.output
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 16
    assert invoke("history", "--results-dir", results, "--rounds").exit_code == 2
    assert invoke("history", "--results-dir", results, "--csv", tmp_path / "no/x.csv").exit_code == 2
    assert invoke("history", "--results-dir", tmp_path / "nowhere").exit_code == 2


def test_a_broken_document_is_told_and_hides_nothing(invoke: Invoke, store_runs: StoreRuns) -> None:
    results = store_runs(make_runs(1.0, count=1))
    (results / "session-1" / "run-broken.json").write_text("{")
    done = invoke("history", "--results-dir", results)
    assert done.exit_code == 0
    assert "left out: " in done.output and "run-broken.json" in done.output and "1.00 s" in done.output


def test_since_when_is_it_slower(invoke: Invoke, store_runs: StoreRuns) -> None:
    runs = []
    for day in range(1, 13):
        slower = 1.1 if day > 7 else 1.0
        driver = {"driver": "1.22.1" if day > 7 else "1.22.0"}
        at = f"2026-01-{day:02d}T02:00:00Z"
        for devices, level in ((1, 1.0), (8, slower)):
            runs += make_runs(level, session=f"night-{day:02d}", started_at=at, devices=devices, components=driver)
    results = store_runs(runs)
    done = invoke("history", "--results-dir", results, "--last", 0)
    (change, quiet) = done.output.splitlines()[1:]
    assert change.startswith("gaudi2 bloomz7b-8x-graphs-kvcache: 10.0 % slower [")
    assert "since 2026-01-08 (synapse-1.22.0, session night-08)" in change
    assert change.endswith("changed in the stack: driver 1.22.0 -> 1.22.1")
    assert quiet == "no change of level was found in 1 of 2 cases (12 sessions each)"
    assert "slower" not in invoke("history", "--results-dir", results, "--no-changes").output


def test_parquet(invoke: Invoke, store_runs: StoreRuns, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    results = store_runs(make_runs(1.0, count=3))
    done = invoke("history", "--results-dir", results, "--parquet", tmp_path / "x.parquet", "--rounds")
    assert done.output == f"15 rows written: {tmp_path / 'x.parquet'}\n"
    both = invoke("history", "--results-dir", results, "--parquet", tmp_path / "y.parquet", "--csv", "-")
    assert both.exit_code == 0 and both.stdout.startswith("run_id,") and (tmp_path / "y.parquet").exists()


def _session(store: ResultsStore, session_id: str, kind: VerdictKind) -> None:
    run = make_run(1.1, session=session_id)
    store.write_run(run)
    verdict = verdict_saying(kind, "the whole interval is above", ratio=1.1, low=1.05, high=1.15)
    store.write_session(
        Session(
            session_id=session_id,
            started_at="2026-01-31T00:00:00Z",
            ended_at="2026-01-31T00:10:00Z",
            cases=[CaseReport(case=run.case, run_ids=[run.run_id], verdicts=[verdict])],
        )
    )


def test_report_prints_the_summary_again(invoke: Invoke, tmp_path: Path) -> None:
    store = ResultsStore(tmp_path / "results")
    _session(store, "20260131-a", VerdictKind.UNCHANGED)
    _session(store, "20260201-b", VerdictKind.REGRESSED)
    store.write_run(make_run(1.0, session="20260202-killed"))
    newest = invoke("report", "--results-dir", store.directory)
    assert newest.exit_code == 0 and "verdicts: 1 REGRESSED" in newest.output and "+10.0 [+5.0, +15.0]" in newest.output
    assert "verdicts: 1 UNCHANGED" in invoke("report", "20260131-a", "--results-dir", store.directory).output
    assert "verdicts: 1 UNCHANGED" in invoke("report", store.directory / "20260131-a").output
    killed = invoke("report", "20260202-killed", "--results-dir", store.directory)
    assert killed.exit_code == 2 and "never came to its end" in killed.output
    assert "no such session" in invoke("report", "other", "--results-dir", store.directory).output
    assert invoke("report", "--results-dir", tmp_path / "nowhere").exit_code == 2


def test_report_names_a_lost_run(invoke: Invoke, tmp_path: Path) -> None:
    store = ResultsStore(tmp_path / "results")
    _session(store, "20260131-a", VerdictKind.UNCHANGED)
    next((store.directory / "20260131-a").glob("run-*.json")).unlink()
    done = invoke("report", "--results-dir", store.directory)
    assert done.exit_code == 2 and "the document of run" in done.output and "is missing" in done.output
