"""What every session leaves: one immutable file a run, written as soon as the run exists, and a session document.

``<directory>/<session id>/run-<run id>.json``, and ``session.json`` at the end. Every file has one writer and is
created once, so nothing is ever locked; a session that was killed lacks only its ``session.json``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from gaudi_perf.stores.files import failure_sentence, make_directory, read_bytes, write_new
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session, decode_session

SESSION_FILE = "session.json"
RUN_PREFIX = "run-"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z")


def new_session_id(now: datetime | None = None) -> str:
    """A new session's name: unique, and sorted by time like ``20260131T235959.123456Z-1a2b3c4d``.

    Args:
        now: with a time zone; the present by default.
    """
    moment = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
    return f"{moment:%Y%m%dT%H%M%S.%f}Z-{os.urandom(4).hex()}"


@dataclass(frozen=True)
class RunsRead:
    """Runs that were found.

    Attributes:
        runs: by the time that they started.
        problems: a sentence for each file that could not be read.
    """

    runs: tuple[Run, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionRead:
    """One session's directory.

    Attributes:
        session: its document, or None if the session never came to its end.
        runs: its runs, by the time that they started.
    """

    session: Session | None
    runs: tuple[Run, ...]


class ResultsStore:
    """The results directory: a directory a session."""

    def __init__(self, directory: Path | str) -> None:
        """Nothing is read or written.

        Args:
            directory: created when the first run is written.
        """
        self.directory = Path(directory)

    def session_directory(self, session_id: str) -> Path:
        """Where a session's files lie.

        Raises:
            UserError: the id cannot be the name of a directory.
        """
        return self.directory / _safe(session_id, "session id")

    def write_run(self, run: Run) -> Path:
        """Store a run; its file never changes afterwards.

        Returns:
            The file.

        Raises:
            UserError: it is there already, holds what no reader accepts, or cannot be written.
        """
        folder = self.session_directory(run.session_id)
        path = folder / f"{RUN_PREFIX}{_safe(run.run_id, 'run id')}.json"
        data = encode(run)
        decode(data, Run, str(path))  # what is stored can be read
        make_directory(folder)
        write_new(path, data)
        return path

    def write_session(self, session: Session) -> Path:
        """Store a session's document, when it has ended.

        Returns:
            The file.

        Raises:
            UserError: it is there already, holds what no reader accepts, or cannot be written.
        """
        folder = self.session_directory(session.session_id)
        path = folder / SESSION_FILE
        data = encode(session)
        decode(data, Session, str(path))
        make_directory(folder)
        write_new(path, data)
        return path

    def write_log(self, session_id: str, name: str, text: str) -> Path:
        """Store a worker's log beside its runs.

        Args:
            session_id: the session that it belongs to.
            name: what to call it, for instance the case's id.
            text: the log, as ``logs.kept_text`` makes it.

        Returns:
            The file, ``<name>.log``.

        Raises:
            UserError: it is there already or cannot be written.
        """
        folder = self.session_directory(session_id)
        path = folder / f"{_safe(name, 'log name')}.log"
        make_directory(folder)
        write_new(path, text.encode("utf-8", "backslashreplace"))
        return path

    def sessions(self) -> list[str]:
        """The ids of all sessions, oldest first.

        Raises:
            UserError: the directory cannot be read.
        """
        try:
            with os.scandir(self.directory) as entries:
                return sorted(entry.name for entry in entries if _SAFE.match(entry.name) and entry.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(failure_sentence(self.directory, "cannot be read", error, "nothing was read")) from None

    def read_session(self, session_id: str) -> SessionRead:
        """Read one session, strictly.

        Raises:
            UserError: there is no such session, or one of its documents is malformed.
        """
        folder = self.session_directory(session_id)
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such session in {self.directory}")
        path = folder / SESSION_FILE
        session = decode_session(read_bytes(path), str(path)) if path.exists() else None
        problems: list[str] = []
        runs = [read_run(path) for path in _run_files(folder, problems)]
        if problems:
            raise UserError(problems[0])
        return SessionRead(session, _in_order(runs))

    def read_runs(self) -> RunsRead:
        """All runs of all sessions; what is malformed is told, and does not hide the rest."""
        return read_runs(self.directory)


def read_run(path: Path) -> Run:
    """Read one run document.

    Raises:
        UserError: it is malformed or cannot be read.
    """
    return decode(read_bytes(path), Run, str(path))


def read_runs(path: Path) -> RunsRead:
    """All runs under a results directory or a session's directory, or that of one file.

    A malformed document is one of the problems and does not hide the rest. A run that is there twice (a directory
    that was copied) counts once.

    Raises:
        UserError: there is nothing of this name.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such results directory: measure first, or name another")
    runs: dict[str, Run] = {}
    problems: list[str] = []
    for file in [path] if path.is_file() else _run_files(path, problems):
        try:
            run = read_run(file)
        except UserError as error:
            problems.append(str(error))
            continue
        if runs.setdefault(run.run_id, run) != run:
            problems.append(f"{file}: another document has the same run id {run.run_id!r}: remove one of them")
    return RunsRead(_in_order(list(runs.values())), tuple(problems))


def _run_files(directory: Path, problems: list[str]) -> Iterator[Path]:
    """The run documents below a directory; a sentence is added for each directory that cannot be read."""

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be read ({error.strerror})")

    for folder, folders, names in os.walk(directory, onerror=unreadable):
        folders.sort()
        for name in sorted(names):
            if name.startswith(RUN_PREFIX) and name.endswith(".json"):
                yield Path(folder, name)


def _in_order(runs: list[Run]) -> tuple[Run, ...]:
    return tuple(sorted(runs, key=lambda run: (run.started_at, run.run_id)))


def _safe(name: str, what: str) -> str:
    if not _SAFE.match(name):
        raise UserError(f"{what} {name!r}: cannot be the name of a file: use letters, digits, '.', '_', '+' and '-'")
    return name
