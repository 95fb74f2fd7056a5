from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.verdict import CaseReport, Session, VerdictKind
from tests.cli.conftest import Invoke, StoreRuns
from tests.golden_files import Golden
from tests.stores.factories import make_run, make_runs
from tests.vocabulary.factories import verdict_saying


def test_rows_and_filters(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    results = store_runs(
        [
            make_run(1.5, devices=8, started_at="2026-02-01T00:00:00Z"),
            make_run(1.0, version="1.23.0", started_at="2026-01-01T00:00:00Z", problems=["throttled\x1b[31m"]),
            make_run(1.0, device="gaudi3", steady=False),
        ]
    )
    invoke("history")
    assert len(invoke("history", "--case", "8x").output.splitlines()) == 4
    assert len(invoke("history", "--stack", "1.23.0").output.splitlines()) == 3
    assert len(invoke("history", "--device", "gaudi3").output.splitlines()) == 3
    invoke("history", "--last", 1)
    assert invoke("history", "--device", "gaudi9").exit_code == 2
    (results / "session-1" / "run-broken.json").write_text("{")  # it is named, and hides nothing
    assert invoke("history").exit_code == 0
    golden("history/runs.txt", invoke.transcript)


def test_csv_on_stdout_and_in_a_file(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    store_runs(make_run([level, level + 0.5], probes=[0.02, 0.0201]) for level in (1.0, 0.5, 2.0))
    runs = invoke("history", "--csv", "-").output
    assert [float(row["latency_median_s"]) for row in csv.DictReader(io.StringIO(runs))] == [1.25, 0.75, 2.25]
    golden("history/runs.csv", runs)
    golden("history/rounds.csv", invoke("history", "--csv", "-", "--rounds").output)
    invoke.transcript = ""
    invoke("history", "--csv", "x.csv", "--rounds")
    assert len((here / "x.csv").read_text().splitlines()) == 7
    assert invoke("history", "--rounds").exit_code == 2
    assert "leave one out" in invoke("history", "--json", "--csv", "-").output
    assert invoke("history", "--csv", "no/x.csv").exit_code == 2
    assert invoke("history", "--results-dir", "nowhere").exit_code == 2
    golden("history/csv.txt", invoke.transcript)


def test_since_when_is_it_slower(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    runs = []
    for day in range(1, 13):
        driver = {"driver": "1.22.1" if day > 7 else "1.22.0"}
        at = f"2026-01-{day:02d}T02:00:00Z"
        odd = {6: 0.8, 12: 1.12}.get(day, 1.0)
        for devices, level in ((1, 1.0), (2, 0.9 if day > 4 else 1.0), (4, odd), (8, 1.1 if day > 7 else 1.0)):
            runs += make_runs(level, session=f"session-{day:02d}", started_at=at, devices=devices, components=driver)
    runs += make_runs(2.0, session="session-12", device="gaudi3", started_at="2026-01-12T02:00:00Z")
    store_runs(runs)
    invoke("history", "--last", 0)
    invoke("history", "--last", 0, "--case", "1x", "--device", "gaudi3")
    invoke("history", "--last", 2, "--no-changes")
    golden("history/changes.txt", invoke.transcript)


def test_parquet(invoke: Invoke, store_runs: StoreRuns, here: Path) -> None:
    pytest.importorskip("pyarrow")
    store_runs(make_runs(1.0, count=3))
    assert invoke("history", "--parquet", "x.parquet", "--rounds").output == "15 rows written: x.parquet\n"
    both = invoke("history", "--parquet", "y.parquet", "--csv", "-")
    assert both.exit_code == 0 and both.stdout.startswith("run_id,") and (here / "y.parquet").exists()


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


def test_report_prints_the_summary_again(invoke: Invoke, here: Path, golden: Golden) -> None:
    """The newest session that came to its end, or the one that is named."""
    store = ResultsStore(here / "results")
    _session(store, "20260131-a", VerdictKind.UNCHANGED)
    _session(store, "20260201-b", VerdictKind.REGRESSED)
    store.write_run(make_run(1.0, session="20260202-killed"))
    invoke("report")
    older = invoke("report", "20260131-a").output
    assert older == invoke("report", "results/20260131-a").output
    for session in ("20260202-killed", "other"):
        invoke.mistake("report", session)
    invoke.mistake("report", "--results-dir", "nowhere")
    next((store.directory / "20260131-a").glob("run-*.json")).unlink()
    invoke.mistake("report", "20260131-a")
    golden("report/sessions.txt", invoke.transcript)
