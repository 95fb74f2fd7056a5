from __future__ import annotations

import csv
from pathlib import Path

from gaudi_perf.stores.export import round_rows, run_rows, write_csv
from tests.stores.making import make_run

RUNS = [make_run([1.0, 3.0, 2.0], weights='path:a "name", with all'), make_run([5.0], problems=["throttled", "hot"])]


def test_a_row_a_run(tmp_path: Path) -> None:
    assert write_csv(tmp_path / "runs.csv", run_rows(RUNS)) == 2
    with (tmp_path / "runs.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["case"], first["stack"]) == ("bloomz7b-1x-graphs-kvcache", "synapse-1.22.0")
    assert (float(first["latency_median_s"]), float(first["latency_min_s"]), int(first["rounds"])) == (2.0, 1.0, 3)
    assert first["weights"] == 'path:a "name", with all'
    assert first["graph_compilation_s"] == ""
    assert (first["valid"], second["valid"], second["problems"]) == ("True", "False", "throttled; hot")


def test_a_row_a_round() -> None:
    rows = list(round_rows(RUNS))
    assert [(row["run_id"], row["round"], row["latency_s"]) for row in rows] == [
        (RUNS[0].run_id, 0, 1.0),
        (RUNS[0].run_id, 1, 3.0),
        (RUNS[0].run_id, 2, 2.0),
        (RUNS[1].run_id, 0, 5.0),
    ]


def test_no_runs_are_an_empty_file(tmp_path: Path) -> None:
    assert write_csv(tmp_path / "runs.csv", []) == 0
    assert (tmp_path / "runs.csv").read_text() == ""
