from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pandas
import pytest
from msgspec.structs import replace

from gaudi_perf import history
from gaudi_perf.stores.frames import rounds_frame, runs_frame, write_csv, write_parquet
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.errors import UserError
from tests.stores.factories import make_run

RUNS = [make_run([1.0, 3.0, 2.0], weights='path:a "name", with all'), make_run([5.0], problems=["throttled", "hot"])]


def test_a_row_a_run(tmp_path: Path) -> None:
    write_csv(tmp_path / "runs.csv", runs_frame(RUNS))
    with (tmp_path / "runs.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["case"], first["stack"]) == ("bloomz7b-1x-graphs-kvcache", "synapse-1.22.0")
    assert (float(first["latency_median_s"]), float(first["latency_min_s"]), int(first["rounds"])) == (2.0, 1.0, 3)
    assert first["weights"] == 'path:a "name", with all'
    assert first["graph_compilation_s"] == ""
    assert (first["valid"], second["valid"], second["problems"]) == ("True", "False", "throttled; hot")


def test_a_row_a_round() -> None:
    frame = rounds_frame(RUNS)
    assert list(zip(frame["run_id"], frame["round"], frame["latency_s"], strict=True)) == [
        (RUNS[0].run_id, 0, 1.0),
        (RUNS[0].run_id, 1, 3.0),
        (RUNS[0].run_id, 2, 2.0),
        (RUNS[1].run_id, 0, 5.0),
    ]


def test_parquet_has_the_same_cells_and_types_as_the_frame(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for frame, name in ((runs_frame(RUNS), "runs"), (rounds_frame(RUNS), "rounds")):
        path = tmp_path / f"{name}.parquet"
        write_parquet(path, frame)
        read = pandas.read_parquet(path)
        assert read.to_csv() == frame.to_csv() and list(read.columns) == list(frame.columns)
    with pytest.raises(UserError, match="cannot be written"):
        write_parquet(tmp_path / "no" / "x.parquet", frame)


def test_types_do_not_hang_on_what_is_known() -> None:
    without = make_run([1.0])
    without = replace(without, measurement=replace(without.measurement, peak_memory_bytes=None, token_times=None))
    for one, other in ((runs_frame([without]), runs_frame(RUNS)), (rounds_frame([without]), rounds_frame(RUNS))):
        assert [kind.name for kind in one.dtypes] == [kind.name for kind in other.dtypes]
    assert runs_frame(RUNS)["peak_memory_bytes"].dtype == "Int64" and runs_frame(RUNS)["valid"].dtype == "bool"


def test_the_history_of_a_directory_is_a_frame(tmp_path: Path) -> None:
    for run in RUNS:
        ResultsStore(tmp_path).write_run(run)
    frame = history(tmp_path)
    assert list(frame["run_id"]) == [run.run_id for run in RUNS]
    assert frame[frame["valid"]]["latency_median_s"].median() == 2.0


def test_parquet_without_pyarrow_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install pyarrow"):
        write_parquet(tmp_path / "runs.parquet", runs_frame(RUNS))
    assert list(tmp_path.iterdir()) == []
