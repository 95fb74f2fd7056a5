"""Every run that was ever measured, read quickly: 100,000 documents in seconds, from an index that is only a cache.

The documents are the truth. Each is created once and never changes, so that what the index keeps of one holds as long
as its file is the same by name, size and times. Whatever is new or has changed is read from the documents; an index
that is damaged, of another release, or cannot be written is as good as none.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gaudi_perf.stores.results import RUN_PREFIX, read_run
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import RUN_SCHEMA, Measurement, Run, in_order
from gaudi_perf.vocabulary.stack import Device, Host, Stack

INDEX_FILE = ".history-index"
"""In the results directory; delete it whenever you like."""

_VERSION = 2
_FRESH_NS = 2_000_000_000
"""A file younger than this is not indexed: it could change again within one tick of its times."""
_TABLES = """
CREATE TABLE parts (id INTEGER PRIMARY KEY, kind TEXT, json BLOB);
CREATE TABLE runs (path TEXT PRIMARY KEY, checksum INTEGER, row BLOB);
"""
_PART_KINDS: dict[str, type] = {"case": Case, "device": Device, "stack": Stack}

_Mark = tuple[int, int, int]
"""Size in bytes, and the times of change of content and of the file's record, in nanoseconds."""


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run in the index; what many runs share stands there as the number of a part."""

    path: str
    mark: _Mark
    run_id: str
    session_id: str
    started_at: str
    stack_label: str
    case: int
    device: int
    stack: int
    host: Host
    measurement: Measurement


class _RunDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A run document, as strict as ``Run``, whose parts that many runs share are decoded once for all of them."""

    run_id: str
    session_id: str
    started_at: str
    case: msgspec.Raw
    device: msgspec.Raw
    stack: msgspec.Raw
    host: Host
    measurement: Measurement
    schema: str = RUN_SCHEMA
    stack_label: str = ""


@dataclass(frozen=True)
class HistoryRead:
    """The runs that were found, without their details (``Run.without_details``).

    Attributes:
        runs: by the time that they started.
        problems: a sentence for each document that could not be read.
        from_index: how many of the runs the index knew.
    """

    runs: tuple[Run, ...]
    problems: tuple[str, ...] = ()
    from_index: int = 0


def read_history(directory: Path, *, use_index: bool = True) -> HistoryRead:
    """All runs under a results directory. A run that is there twice (a directory that was copied) counts once.

    Args:
        directory: a results directory, or one session's.
        use_index: whether to read and to write the index.

    Raises:
        UserError: there is no such directory.
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such results directory: measure first, or name another")
    collecting = gc.isenabled()
    gc.disable()  # hundreds of thousands of objects without cycles: looking for some takes seconds
    try:
        return _read(directory, use_index)
    finally:
        if collecting:
            gc.enable()


def _read(directory: Path, use_index: bool) -> HistoryRead:
    index = _Index(directory / INDEX_FILE if use_index else None)
    newest = time.time_ns() - _FRESH_NS
    found: dict[str, Run] = {}
    new: list[tuple[str, _Mark, Run]] = []
    problems: list[str] = []
    seen: set[str] = set()
    root = str(directory)
    for path, mark in _run_files(root, problems):
        relative = path[len(root) + 1 :]
        known = index.runs.get(relative)
        if known is not None and known[0] == mark:
            run = known[1]
            seen.add(relative)
        else:
            try:
                run = index.decode(path)
            except UserError as error:
                problems.append(str(error))
                continue
            if max(mark[1:]) < newest:
                new.append((relative, mark, run))
        there = found.setdefault(run.run_id, run)
        if there is not run and there != run:
            problems.append(f"{path}: another document has the same run id {run.run_id!r}: remove one of them")
    index.update(new, gone=index.runs.keys() - seen - {relative for relative, _, _ in new})
    return HistoryRead(tuple(in_order(found.values())), tuple(problems), len(seen))


class _Index:
    """The index of a results directory; without a path, nothing is known and nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.runs: dict[str, tuple[_Mark, Run]] = {}
        self._path = path
        self._parts: dict[tuple[str, bytes], tuple[int, Any]] = {}
        self._decoder = msgspec.json.Decoder(_RunDocument)
        if path is not None and path.exists():
            try:
                with contextlib.closing(sqlite3.connect(path, timeout=1)) as database:
                    self._load(database)
            except (sqlite3.Error, msgspec.MsgspecError, ValueError, KeyError, TypeError):  # damaged, or another's
                self.runs, self._parts = {}, {}
                with contextlib.suppress(OSError):
                    path.unlink()

    def decode(self, path: str) -> Run:
        """Read a run document.

        Raises:
            UserError: it is malformed or cannot be read.
        """
        try:
            with open(path, "rb") as file:
                document = self._decoder.decode(file.read())
            return Run(
                schema=document.schema,
                run_id=_name(document.run_id),
                session_id=_name(document.session_id),
                started_at=document.started_at,
                case=self._part("case", document.case),
                device=self._part("device", document.device),
                stack=self._part("stack", document.stack),
                stack_label=document.stack_label,
                host=document.host,
                measurement=document.measurement,
            ).without_details()
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return read_run(Path(path)).without_details()  # which says in a sentence what is wrong

    def update(self, new: list[tuple[str, _Mark, Run]], gone: set[str]) -> None:
        """Keep the runs that were read from documents, and forget those whose documents are gone."""
        if self._path is None or not (new or gone):
            return
        try:  # a directory that cannot be written has no index; another process may be writing it
            with contextlib.closing(sqlite3.connect(self._path, timeout=1)) as database, database:
                if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                    database.executescript(_TABLES)
                    database.execute(f"PRAGMA user_version = {_VERSION}")
                database.executemany("DELETE FROM runs WHERE path = ?", [(path,) for path in gone])
                database.executemany(
                    "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)",
                    [(number, kind, raw) for (kind, raw), (number, _) in self._parts.items()],
                )
                numbers = {id(part): number for number, part in self._parts.values()}
                known = [one for one in new if all(id(getattr(one[2], kind)) in numbers for kind in _PART_KINDS)]
                rows = ((path, self._row(path, mark, run, numbers)) for path, mark, run in known)
                database.executemany(
                    "INSERT OR REPLACE INTO runs VALUES (?, ?, ?)",
                    [(path, zlib.crc32(row), row) for path, row in rows],
                )
        except sqlite3.Error:
            return

    def _load(self, database: sqlite3.Connection) -> None:
        if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise sqlite3.DatabaseError("of another release")
        parts: dict[int, Any] = {}
        for number, kind, raw in database.execute("SELECT id, kind, json FROM parts"):
            parts[number] = self._part(kind, raw)
            if self._parts[kind, raw][0] != number:
                raise ValueError("damaged")
        decoder = msgspec.msgpack.Decoder(_Row)
        for path, checksum, data in database.execute("SELECT path, checksum, row FROM runs"):
            if zlib.crc32(data) != checksum:
                raise ValueError("damaged")
            row = decoder.decode(data)
            if row.path != path:
                raise ValueError("damaged")
            self.runs[path] = (
                row.mark,
                Run(
                    run_id=row.run_id,
                    session_id=row.session_id,
                    started_at=row.started_at,
                    case=parts[row.case],
                    device=parts[row.device],
                    stack=parts[row.stack],
                    stack_label=row.stack_label,
                    host=row.host,
                    measurement=row.measurement,
                ),
            )

    @staticmethod
    def _row(path: str, mark: _Mark, run: Run, numbers: dict[int, int]) -> bytes:
        return msgspec.msgpack.encode(
            _Row(
                path=path,
                mark=mark,
                run_id=run.run_id,
                session_id=run.session_id,
                started_at=run.started_at,
                stack_label=run.stack_label,
                host=run.host,
                measurement=run.measurement,
                **{kind: numbers[id(getattr(run, kind))] for kind in _PART_KINDS},
            )
        )

    def _part(self, kind: str, raw: bytes | msgspec.Raw) -> Any:
        key = kind, bytes(raw)
        if key not in self._parts:
            # A number made of the content is the same in every process that writes the index.
            digest = hashlib.blake2b(kind.encode() + key[1], digest_size=8).digest()
            number = int.from_bytes(digest, "big", signed=True)
            self._parts[key] = number, msgspec.json.decode(raw, type=_PART_KINDS[kind])
        return self._parts[key][1]


def _name(text: str) -> str:
    if not 0 < len(text) <= 200:
        raise ValueError(text)
    return text


def _run_files(root: str, problems: list[str]) -> Iterator[tuple[str, _Mark]]:
    """The run documents below a directory, in the order of their names.

    A sentence is added for each directory that cannot be read; it does not hide the others.
    """
    try:
        with os.scandir(root) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{root}: cannot be read ({error.strerror})")
        return
    for entry in entries:
        if entry.name.startswith(RUN_PREFIX) and entry.name.endswith(".json"):
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                problems.append(f"{entry.path}: cannot be read ({error.strerror})")
                continue
            yield entry.path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        elif entry.is_dir(follow_symlinks=False):
            yield from _run_files(entry.path, problems)
