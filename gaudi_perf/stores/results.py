"""What every session leaves: one immutable file a run, written as soon as the run exists, and a session document.

``<directory>/<session id>/run-<run id>.json``, and ``session.json`` at the end. Every file has one writer and is
created once, so nothing is ever locked. Until its end a session has ``session-unfinished.json``, which is written anew
after every run and verdict: a session that was interrupted or killed is read from it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from gaudi_perf.stores.files import directories, make_directory, read_bytes, write_atomic, write_new
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import escaped
from gaudi_perf.vocabulary.run import Run, in_order
from gaudi_perf.vocabulary.secrecy import without_secrets
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import Session, decode_session

SESSION_FILE = "session.json"
_UNFINISHED_FILE = "session-unfinished.json"
RUN_PREFIX = "run-"
_LEVELS = 4
"""Of directories below a results directory that are looked into; a copy of copies has three."""
_TOO_DEEP = f"lies more than {_LEVELS} directories deep, and is not looked into"
_HEAD, _TAIL = 64 * 1024, 960 * 1024
"""Bytes that are kept of a log's beginning and of its end."""
FileT = TypeVar("FileT", bound=os.PathLike[str])
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z")


def new_session_id(now: datetime | None = None) -> str:
    """A new session's name: unique, and sorted by time like ``20260131T235959.123456Z-1a2b3c4d``."""
    moment = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
    return f"{moment:%Y%m%dT%H%M%S.%f}Z-{os.urandom(4).hex()}"


@dataclass(frozen=True)
class RunsRead:
    """Runs that were found, by the time that they started, and a sentence for each file that could not be read."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionRead:
    """One session's runs, by the time that they started, and its document: None if there is none.

    ``finished`` is false if it was interrupted or killed, or goes on: the document says how far it came.
    """

    session: Session | None
    runs: tuple[Run, ...]
    finished: bool = True


class ResultsStore:
    """The results directory: a directory a session."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._sending = True

    def session_directory(self, session_id: str) -> Path:
        """Where a session's files lie; ``UserError`` if the id cannot be the name of a directory."""
        return self.directory / _safe(session_id, "session id")

    def write_run(self, run: Run) -> Path:
        """Store a run; its file, which is returned, never changes afterwards.
        Raises UserError if it is there already, holds what no reader accepts, or cannot be written.
        """
        return self._write(run.session_id, f"{RUN_PREFIX}{_safe(run.run_id, 'run id')}.json", run)

    def write_session(self, session: Session, *, finished: bool = True) -> Path:
        """Store a session's document, when it has ended; like ``write_run``. Before, what there is of it so far."""
        unfinished = self.session_directory(session.session_id) / _UNFINISHED_FILE
        if not finished:
            self._make(unfinished.parent)
            write_atomic(unfinished, encode(session))
            return unfinished
        path = self._write(session.session_id, SESSION_FILE, session)
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        return path

    def has_document(self, session_id: str) -> bool:
        """Whether a session has a document, finished or not."""
        return _document_in(self.session_directory(session_id)) is not None

    def keep_log(self, log: Path, session_id: str, name: str, environment: Mapping[str, str]) -> str:
        """Keep the whole log of a worker that failed beside the session's runs, as ``<name>.log``, without secrets of
        the environment. Returns a sentence that says where it is, or why it is not kept.
        """
        try:
            data = kept_text(log, environment).encode("utf-8", "backslashreplace")
            path = self._write(session_id, f"{_safe(name, 'log name')}.log", data)
        except (OSError, UserError) as error:
            return f"the worker's log is not kept: {error}"
        return f"the worker's whole log: {path}"

    def _write(self, session_id: str, name: str, content: Run | Session | bytes) -> Path:
        path = self.session_directory(session_id) / name
        if isinstance(content, bytes):
            data = content
        else:
            data = encode(content)
            decode(data, type(content), str(path))  # what is stored can be read
        self._make(path.parent)
        write_new(path, data)
        self._send(path)
        return path

    def _make(self, folder: Path) -> None:
        make_directory(self.directory, private=True)
        make_directory(folder)

    def _send(self, path: Path) -> None:
        """Send a file to the address that the directory is a copy of; what fails is left to ``send_rest``."""
        from gaudi_perf.stores.remote import publish

        if self._sending:
            try:
                publish(self.directory, path)
            except UserError:
                self._sending = False

    def send_rest(self) -> str:
        """Send what could not be sent so far, if the directory is a copy; why that fails, or empty."""
        from gaudi_perf.stores.remote import send_rest

        return "" if self._sending else send_rest(self.directory)

    def sessions(self) -> list[str]:
        """The ids of all sessions, oldest first; ``UserError`` if the directory cannot be read."""
        return [name for name in directories(self.directory, "nothing was read") if _SAFE.match(name)]

    def newest(self, *, ended: bool = False) -> tuple[str, tuple[str, ...]]:
        """The id of the newest session that has a document, or that ``ended``, and newer ones with runs alone.
        Raises UserError if there is none.
        """
        passed_over: list[str] = []
        for name in reversed(self.sessions()):
            folder = self.session_directory(name)
            if (folder / SESSION_FILE).is_file() if ended else self.has_document(name):
                return name, tuple(passed_over)
            passed_over += [name] if any(folder.glob(f"{RUN_PREFIX}*.json")) else []
        what, remedy = "with a document", "measure first"
        if passed_over:
            remedy = "gaudi-perf history lists its runs"
        if ended:
            what = "that came to its end"
            remedy = f"name the directory of another, as {self.directory / passed_over[0]}" if passed_over else remedy
        raise UserError(f"{self.directory}: holds no session {what}: {remedy}")

    def read_session(self, session_id: str) -> SessionRead:
        """Read one session; ``UserError`` if there is none, or one of its documents is malformed."""
        folder = self.session_directory(session_id)
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such session in {self.directory}")
        path = _document_in(folder)
        session = decode_session(read_bytes(path), str(path)) if path is not None else None
        problems: list[str] = []
        runs = [read_run(Path(file.path)) for file in run_files(str(folder), problems)]
        if problems:
            raise UserError(problems[0])
        return SessionRead(session, tuple(in_order(runs)), path is None or path.name == SESSION_FILE)


def kept_text(log: Path, environment: Mapping[str, str]) -> str:
    """What is kept of a worker's log: not the values of its variables that are called TOKEN, SECRET and the like.
    Raises OSError if the log cannot be read.
    """
    with log.open("rb") as file:
        left_out = file.seek(0, 2) - _HEAD - _TAIL
        file.seek(0)
        data = file.read(_HEAD)
        if left_out > 0:
            file.seek(-_TAIL, 2)
            data += f"\n... {left_out} bytes are left out ...\n".encode()
        data += file.read()
    text = data.decode(errors="backslashreplace")
    return escaped(without_secrets(text, environment), keep="\n\t")


def _document_in(folder: Path) -> Path | None:
    return next((path for name in (SESSION_FILE, _UNFINISHED_FILE) if (path := folder / name).exists()), None)


def read_run(path: Path) -> Run:
    """Read one run document; ``UserError`` if it is malformed or cannot be read."""
    return decode(read_bytes(path), Run, str(path))


def why_not_usable(run: Run) -> str:
    """Why a run is no evidence of a level, in a clause; empty if it is."""
    if run.problems:
        return f"is INVALID ({run.problems[0]})"
    return "" if run.steady else f"never became steady ({run.measurement.warm_up.reason})"


def require_one_stack(runs: Sequence[Run], source: str) -> None:
    """Raise UserError if runs of one case are of several stacks; the sentence begins with the source.
    Components may differ from one host class to another, whose runs are never compared.
    """
    stacks: dict[str, Stack] = {}
    titles = sorted({run.stack_title for run in runs})
    if len(titles) > 1 or any(stacks.setdefault(run.host.host_class, run.stack) != run.stack for run in runs):
        several = ", ".join(titles) if len(titles) > 1 else f"{titles[0]} with differing components"
        what = f"holds runs of {runs[0].case.id} on several stacks ({several})"
        raise UserError(f"{source}: {what}: name a directory with runs of one stack")


def require_results(directory: Path) -> None:
    """Raise UserError if there is no such results directory."""
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such results directory: measure first, or name another")


def read_runs(path: Path) -> RunsRead:
    """All runs under a results directory or a session's directory, or that of one file.

    A malformed document is one of the problems and does not hide the rest. A run that is there twice (a directory that
    was copied) counts once.
    Raises UserError if there is nothing of this name.
    """
    if not path.is_file():
        require_results(path)
    problems: list[str] = []
    files: Iterable[os.PathLike[str]] = [path] if path.is_file() else run_files(str(path), problems)
    runs = collected(files, lambda file: read_run(Path(file)), problems)
    return RunsRead(runs, tuple(problems))


def collected(files: Iterable[FileT], read: Callable[[FileT], Run | None], problems: list[str]) -> tuple[Run, ...]:
    """The runs of files by the time that they started, each once; a sentence is added for what cannot be read."""
    runs: dict[str, Run] = {}
    for file in files:
        try:
            run = read(file)
        except UserError as error:
            problems.append(str(error))
            continue
        if run is not None and runs.setdefault(run.run_id, run) is not run and runs[run.run_id] != run:
            name = os.fspath(file)
            problems.append(f"{name}: another document has the same run id {run.run_id!r}: remove one of them")
    return tuple(in_order(runs.values()))


def run_files(root: str, problems: list[str], levels: int = _LEVELS) -> Iterator[os.DirEntry[str]]:
    """The run documents below a directory, in the order of their names; a sentence is added for each directory that
    cannot be read, and for the first that lies too deep.
    """
    if levels < 0:
        if not any(_TOO_DEEP in problem for problem in problems):
            problems.append(f"{root}: {_TOO_DEEP}: name it if it has results")
        return
    try:
        with os.scandir(root) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{root}: cannot be read ({error.strerror})")
        return
    for entry in entries:
        if entry.name.startswith(RUN_PREFIX) and entry.name.endswith(".json"):
            yield entry
        elif entry.is_dir(follow_symlinks=False):
            yield from run_files(entry.path, problems, levels - 1)


def _safe(name: str, what: str) -> str:
    if not _SAFE.match(name):
        raise UserError(f"{what} {name!r}: cannot be the name of a file: use letters, digits, '.', '_', '+' and '-'")
    return name
