"""The history's index is a cache: whatever happens to it, what is read is what the documents say."""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from gaudi_perf.stores import history
from gaudi_perf.stores.files import read_bytes
from gaudi_perf.stores.history import INDEX_FILE, read_history
from gaudi_perf.stores.places import device_names
from gaudi_perf.stores.results import ResultsStore, read_runs
from gaudi_perf.vocabulary.documents import encode
from gaudi_perf.vocabulary.errors import UserError
from tests.stores.factories import make_run, make_runs


@pytest.fixture(autouse=True)
def index_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this moment are indexed, too."""
    monkeypatch.setattr(history, "_FRESH_NS", -(10**12))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = ResultsStore(tmp_path / "results")
    for run in [
        *make_runs(1.0, session="s1"),
        make_run(1.5, session="s2", version="1.23.0", problems=["throttled"]),
        make_run(1.2, session="s2", steady=False, devices=8),
    ]:
        store.write_run(run)
    return store.directory


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the documents that are read since it was emptied: those that the index does not know."""
    paths: list[str] = []
    real = read_bytes
    monkeypatch.setattr(history, "read_bytes", lambda path: (paths.append(path), real(path))[1])
    return paths


def truth(results: Path) -> list[object]:
    return [run.without_details() for run in read_runs(results).runs]


def test_the_index_says_what_the_documents_say(results: Path, decoded: list[str]) -> None:
    cold = read_history(results)
    assert len(decoded) == 7
    warm = read_history(results)
    assert len(decoded) == 7
    assert list(cold.runs) == list(warm.runs) == truth(results)
    cases = {id(run.case) for run in warm.runs}
    assert len(cases) == 2  # shared


def test_new_changed_and_removed_documents(results: Path) -> None:
    read_history(results)
    ResultsStore(results).write_run(make_run(2.0, session="s3"))
    assert list(read_history(results).runs) == truth(results)
    paths = sorted(results.glob("*/run-*.json"))
    paths[0].unlink()
    changed = make_run(9.0, run_id=paths[1].stem[4:], session="s1")
    paths[1].write_bytes(encode(changed))
    again = read_history(results)
    assert list(again.runs) == truth(results)
    assert 9.0 in [run.level_s for run in again.runs]


def test_a_document_of_the_same_size_and_times_of_content(results: Path) -> None:
    """Even an edit that hides itself is seen: the time of change of the file's record cannot be set."""
    path = sorted(results.glob("s1/run-*.json"))[0]
    read_history(results)
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1.0,", b"3.0,"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert list(read_history(results).runs) == truth(results)


def test_any_damage_to_the_index_changes_nothing(results: Path) -> None:
    expected = read_history(results).runs
    index = results / INDEX_FILE
    whole = index.read_bytes()
    dice = random.Random(1)
    for _ in range(60):
        damaged = bytearray(whole)
        kind = dice.randrange(3)
        if kind == 0:
            damaged = damaged[: dice.randrange(len(whole))]
        elif kind == 1:
            damaged[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        else:
            damaged = bytearray(dice.randbytes(dice.randrange(200)))
        index.write_bytes(bytes(damaged))
        read = read_history(results)
        assert read.runs == expected and read.problems == ()


def test_an_index_of_another_directory_does_not_speak_for_this_one(results: Path, tmp_path: Path) -> None:
    read_history(results)
    other = ResultsStore(tmp_path / "other")
    for run in make_runs(5.0, session="s1"):
        other.write_run(run)
    (other.directory / INDEX_FILE).write_bytes((results / INDEX_FILE).read_bytes())
    assert list(read_history(other.directory).runs) == truth(other.directory)


def test_fresh_files_are_not_indexed(results: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]) -> None:
    monkeypatch.setattr(history, "_FRESH_NS", 10**12)
    for _ in range(2):
        read_history(results)
    assert len(decoded) == 14


def test_a_directory_that_cannot_be_written_is_read(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, timeout: float) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert len(read_history(results).runs) == 7
    assert not (results / INDEX_FILE).exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"run_id": "', b'"run_id": "' + b"x" * 300),
        (b"2026-01-31T12", b"2026-02-31T12"),
        (b'"devices": 1', b'"devices": 0'),
        (b'"memory_bytes"', b'"memory"'),
        (b'"1.22.0"', b'"no version"'),
        (b'"schema"', b'"scheme"'),
        (b"gaudi-perf/run/1", b"gaudi-perf/run/9"),
        (b'"latencies_s"', b'"latencies"'),
    ],
)
def test_what_is_malformed_is_told_as_everywhere(results: Path, old: bytes, new: bytes) -> None:
    path = sorted(results.glob("s1/run-*.json"))[0]
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    expected = read_runs(results)
    for _ in range(2):
        read = read_history(results)
        assert read.problems == expected.problems and len(read.problems) == 1
        assert list(read.runs) == [run.without_details() for run in expected.runs]


def test_a_copied_directory_counts_once(results: Path) -> None:
    for path in sorted(results.glob("s1/run-*.json")):
        (results / "copy").mkdir(exist_ok=True)
        (results / "copy" / path.name).write_bytes(path.read_bytes())
    assert read_history(results).problems == ()
    assert len(read_history(results).runs) == 7
    twin = make_run(4.0, run_id=path.stem[4:])
    (results / "copy" / path.name).write_bytes(encode(twin))
    for _ in range(2):
        assert "another document has the same run id" in read_history(results).problems[0]


def test_what_is_no_regular_file_is_named_at_once(results: Path) -> None:
    before = read_runs(results).runs
    folder = results / "strange"
    folder.mkdir()
    for number in range(500):
        os.mkfifo(folder / f"run-pipe-{number}.json")
        (folder / f"run-zero-{number}.json").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path is short
        one.bind("run-socket.json")
        os.chdir(here)
    (folder / "run-directory.json").mkdir()
    (folder / "run-nowhere.json").symlink_to(folder / "nowhere")
    with (folder / "run-large.json").open("wb") as large:
        large.truncate(200 << 30)  # takes no room on the disk
    os.mkfifo(results / "session.json")
    for read in (read_runs(results), read_history(results)):
        assert read.runs and len(read.runs) == len(before)
        assert len(read.problems) in (1003, 1004)  # of a link to nowhere the history says nothing
        assert sum("is no regular file" in problem for problem in read.problems) >= 1001
        assert any("run-large.json: has more than 64 MiB" in problem for problem in read.problems)


def test_names_that_are_not_utf_8_are_read_without_the_index(results: Path, decoded: list[str]) -> None:
    folder = results / os.fsdecode(b"\xff")
    folder.mkdir()
    (folder / "run-x.json").write_bytes(encode(make_run(9.0)))
    for unknown in (8, 1):
        decoded.clear()
        read = read_history(results)
        assert (len(read.runs), len(decoded), read.problems) == (8, unknown, ())


def test_links_that_lead_to_themselves_hide_nothing(results: Path) -> None:
    (results / "loop").symlink_to("loop")
    (results / "to-s1").symlink_to("s1")
    assert {"loop", "s1", "to-s1"} & {*ResultsStore(results).sessions()} == {"s1", "to-s1"}
    assert "loop" not in device_names(results)


def test_what_lies_too_deep_is_named_once(results: Path) -> None:
    before = read_runs(results).runs
    for name in ("deep", "other"):
        results.joinpath(*[name] * 20).mkdir(parents=True)
    (results / "a/b/c/d").mkdir(parents=True)
    (results / "a/b/c/d/run-1.json").write_text("{")
    for read in (read_runs(results), read_history(results)):
        assert len(read.runs) == len(before)
        damaged, deep = read.problems
        assert damaged.startswith(f"{results}/a/b/c/d/run-1.json: ")
        assert deep == f"{results}/{'deep/' * 5}".rstrip("/") + (
            ": lies more than 4 directories deep, and is not looked into: name it if it has results"
        )


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such results directory"):
        read_history(tmp_path / "nowhere")


def test_a_thousand_documents_are_read_from_the_index_much_faster(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    folder = store.session_directory("s1")
    folder.mkdir()
    for run in (make_run(1.0) for _ in range(1000)):
        (folder / f"run-{run.run_id}.json").write_bytes(encode(run))
    times = []
    for _ in range(3):
        begin = time.process_time()
        assert len(read_history(tmp_path).runs) == 1000
        times.append(time.process_time() - begin)
    assert min(times[1:]) < times[0]
