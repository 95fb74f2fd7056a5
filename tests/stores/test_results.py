from __future__ import annotations

import errno
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.results import ResultsStore, kept_text, new_session_id, read_runs
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.verdict import CaseReport, Session
from tests.stores.factories import make_run


@pytest.fixture
def results(tmp_path: Path) -> ResultsStore:
    return ResultsStore(tmp_path / "results")


def make_session(name: str = "session-1") -> Session:
    run = make_run()
    return Session(
        session_id=name,
        started_at="2026-01-31T12:00:00Z",
        ended_at="2026-01-31T12:30:00Z",
        cases=[CaseReport(case=run.case, run_ids=[run.run_id])],
    )


def test_session_ids_sort_by_time_and_are_unique() -> None:
    start = datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc)
    moments = [start + timedelta(microseconds=step) for step in (0, 1, 10**6, 10**10, 10**12)]
    ids = [new_session_id(moment) for moment in moments]
    assert ids == sorted(ids)
    assert len({new_session_id(start) for _ in range(1000)}) == 1000
    elsewhere = start.astimezone(timezone(timedelta(hours=5)))
    assert new_session_id(elsewhere).startswith("20251231T235959.999999Z-")


def test_a_run_is_there_as_soon_as_it_is_written(results: ResultsStore) -> None:
    first, second = make_run(started_at="2026-01-31T12:00:02Z"), make_run(started_at="2026-01-31T12:00:01Z")
    path = results.write_run(first)
    assert path == results.directory / "session-1" / f"run-{first.run_id}.json"
    assert results.read_session("session-1").session is None  # it has not ended
    results.write_run(second)
    results.write_session(make_session())
    read = results.read_session("session-1")
    assert read.session is not None
    assert read.session.session_id == "session-1"
    assert read.runs == (second, first)


def test_what_is_written_never_changes(results: ResultsStore) -> None:
    run = make_run()
    path = results.write_run(run)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"is there already and is never overwritten"):
        results.write_run(make_run(9.0, run_id=run.run_id))
    assert path.read_bytes() == before
    results.write_session(make_session())
    with pytest.raises(UserError, match=r"session.json: is there already"):
        results.write_session(make_session())
    assert sorted(path.name for path in path.parent.iterdir()) == sorted([path.name, "session.json"])


def test_a_file_system_without_links_keeps_the_rule(results: ResultsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    run = make_run()
    path = results.write_run(run)
    with pytest.raises(UserError, match="is there already"):
        results.write_run(run)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_runs_of_all_sessions_in_the_order_of_time(results: ResultsStore) -> None:
    runs = [make_run(session=f"s{n % 3}", started_at=f"2026-01-{31 - n:02d}T00:00:00Z") for n in range(6)]
    for run in runs:
        results.write_run(run)
    assert results.sessions() == ["s0", "s1", "s2"]
    assert read_runs(results.directory).runs == tuple(reversed(runs))
    assert len(read_runs(results.directory / "s0").runs) == 2
    assert read_runs(results.directory / "s0" / f"run-{runs[0].run_id}.json").runs == (runs[0],)


def test_a_malformed_run_is_told_and_does_not_hide_the_rest(results: ResultsStore) -> None:
    good = make_run()
    folder = results.write_run(good).parent
    (folder / "run-torn.json").write_text('{"schema": "gaudi-perf/run/1", ')
    (folder / ".gaudi-perf-1-2.tmp").write_text("of a writer that was killed")
    read = read_runs(results.directory)
    assert read.runs == (good,)
    (problem,) = read.problems
    assert problem.startswith(f"{folder / 'run-torn.json'}: not a valid run document")
    with pytest.raises(UserError, match=r"run-torn.json: not a valid run document"):
        results.read_session("session-1")


def test_a_copied_directory_counts_once_and_a_forged_copy_is_told(results: ResultsStore) -> None:
    run = make_run(1.0)
    path = results.write_run(run)
    copy = results.directory / "copy" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert read_runs(results.directory).runs == (run,)
    assert read_runs(results.directory).problems == ()
    copy.write_bytes(path.read_bytes().replace(b"1.0", b"2.0"))
    read = read_runs(results.directory)
    assert len(read.runs) == 1
    assert "another document has the same run id" in read.problems[0]


def test_names_that_are_no_names_of_files(results: ResultsStore) -> None:
    for run in (make_run(run_id="../x"), make_run(session="a/b"), make_run(run_id="..")):
        with pytest.raises(UserError, match="cannot be the name of a file"):
            results.write_run(run)
    with pytest.raises(UserError, match="there is no such session"):
        results.read_session("nothing")
    with pytest.raises(UserError, match="there is no such results directory"):
        read_runs(results.directory / "nothing")
    assert results.sessions() == []


def test_what_no_reader_accepts_is_not_written(results: ResultsStore) -> None:
    run = make_run()
    run = replace(run, measurement=replace(run.measurement, phases_s={"load": float("nan")}))
    with pytest.raises(UserError, match=r"\$.measurement.phases_s"):
        results.write_run(run)
    assert results.sessions() == []


def test_a_directory_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs in it may be the slow ones."""
    store = ResultsStore(tmp_path)
    for session in ("monday", "tuesday"):
        store.write_run(make_run(session=session))
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("tuesday"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    read = read_runs(store.directory)
    assert [run.session_id for run in read.runs] == ["monday"]
    assert read.problems == (f"{tmp_path / 'tuesday'}: cannot be read (Permission denied)",)
    history = read_history(tmp_path)
    assert [run.session_id for run in history.runs] == ["monday"] and history.problems == read.problems
    with pytest.raises(UserError, match=r"tuesday: cannot be read \(Permission denied\)"):
        store.read_session("tuesday")


def test_nothing_in_a_kept_log_reaches_a_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n\x1b[2Jtwo\r\tthree \xff \xc3\xa9\n")
    assert kept_text(log, {}) == "one\n\\x1b[2Jtwo\\r\tthree \\xff é\n"


def test_secrets_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("with t0psecret and hf_abcdefgh123, Bearer xyz and http://me:pass@host/ of the tokenizers in 1\n")
    told = {"MY_TOKEN": "t0psecret", "TOKENIZERS_PARALLELISM": "tokenizers", "A_KEY": "1"}
    assert kept_text(log, told) == "with *** and ***, Bearer *** and http://***@host/ of the tokenizers in 1\n"


def test_of_a_long_log_beginning_and_end_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("begin\n" + "x" * 3_000_000 + "\nend\n")
    text = kept_text(log, {})
    assert text.startswith("begin\n") and text.endswith("\nend\n") and " bytes are left out ..." in text
    assert len(text) < 1_100_000
