from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from gaudi_perf.stores.export import round_rows, run_rows, write_csv, write_parquet
from gaudi_perf.vocabulary.errors import UserError
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


def test_parquet_has_the_same_cells_as_the_rows(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    for rows, name in ((run_rows, "runs"), (round_rows, "rounds")):
        path = tmp_path / f"{name}.parquet"
        expected = list(rows(RUNS))
        assert write_parquet(path, rows(RUNS)) == len(expected)
        frame = pandas.read_parquet(path)
        assert list(frame.columns) == list(expected[0])
        for column in frame.columns:
            for cell, row in zip(frame[column], expected, strict=True):
                assert row[column] is None if pandas.isna(cell) else cell == row[column]
    with pytest.raises(UserError, match="no rows"):
        write_parquet(tmp_path / "none.parquet", [])
    with pytest.raises(UserError, match="cannot be written"):
        write_parquet(tmp_path / "no" / "x.parquet", run_rows(RUNS))


def test_parquet_without_pyarrow_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'gaudi-perf\[parquet\]'"):
        write_parquet(tmp_path / "runs.parquet", run_rows(RUNS))
    assert list(tmp_path.iterdir()) == []
