"""Every run that was ever measured, read quickly: 100,000 documents in seconds, from an index that is only a cache.

The documents never change: what the index keeps of one holds as long as its file is the same by name, size and times.
An index that is damaged, of another release, or cannot be written is as good as none.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gaudi_perf.stores.files import read_bytes
from gaudi_perf.stores.results import RunsRead, collected, read_run, run_files
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import Name, require_unique_keys
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Measurement, Run, RunSchema
from gaudi_perf.vocabulary.stack import Device, Host, Stack

INDEX_FILE = ".history-index"
"""In the results directory; delete it whenever you like."""

_VERSION = 3
_FRESH_NS = 2_000_000_000
"""A file younger than this is not indexed: it could change again within one tick of its times."""
_TABLES = """
CREATE TABLE parts (id INTEGER PRIMARY KEY, kind TEXT, json BLOB);
CREATE TABLE runs (path TEXT PRIMARY KEY, checksum INTEGER, row BLOB);
"""
_PART_KINDS: dict[str, type] = {"case": Case, "device": Device, "stack": Stack}

_Mark = tuple[int, int, int]
"""Size in bytes, and the times of change of content and of the file's record, in nanoseconds."""


class _Own(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What a run shares with no other."""

    run_id: Name
    session_id: Name
    started_at: str
    host: Host
    measurement: Measurement
    stack_label: str = ""

    def run(self, parts: Iterable[Any]) -> Run:
        """The run, with case, device and stack."""
        own = {name: getattr(self, name) for name in _Own.__struct_fields__}
        return Run(**own, **dict(zip(_PART_KINDS, parts, strict=True)))


class _RunDocument(_Own, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A run document, as strict as ``Run``, whose parts that many runs share are decoded once for all of them."""

    case: msgspec.Raw
    device: msgspec.Raw
    stack: msgspec.Raw
    schema: RunSchema = "gaudi-perf/run/1"


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run in the index; what many runs share stands there as the numbers of parts."""

    path: str
    mark: _Mark
    parts: tuple[int, int, int]
    own: _Own


@dataclass(frozen=True)
class HistoryRead(RunsRead):
    """Runs without their details (``Run.without_details``).

    Attributes:
        from_index: how many of the runs the index knew.
    """

    from_index: int = 0


def read_history(directory: Path, *, use_index: bool = True) -> HistoryRead:
    """All runs under a results directory, or one session's; a run that is there twice (a copy) counts once.
    Raises UserError if there is no such directory.
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


def run_decoder() -> Callable[[str], Run]:
    """What reads a run document by its path, without its details; parts that many runs share are decoded once.
    It raises UserError if the document is malformed or cannot be read.
    """
    return _Index(None).decode


def _read(directory: Path, use_index: bool) -> HistoryRead:
    index = _Index(directory / INDEX_FILE if use_index else None)
    newest = time.time_ns() - _FRESH_NS
    new: list[tuple[str, _Mark, Run]] = []
    problems: list[str] = []
    seen: set[str] = set()
    root = str(directory)

    def read(file: os.DirEntry[str]) -> Run | None:
        relative = file.path[len(root) + 1 :]
        try:
            status = file.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{file.path}: cannot be read ({error.strerror})") from None
        mark = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        known = index.runs.get(relative)
        if known is not None and known[0] == mark:
            seen.add(relative)
            return known[1]
        run = index.decode(file.path)
        if max(mark[1:]) < newest:
            new.append((relative, mark, run))
        return run

    runs = collected(run_files(root, problems), read, problems)
    index.update(new, gone=index.runs.keys() - seen - {relative for relative, _, _ in new})
    return HistoryRead(runs, tuple(problems), len(seen))


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
        try:
            data = read_bytes(Path(path))
            document = self._decoder.decode(data)
            require_unique_keys(data)
            parts = (self._part(kind, getattr(document, kind)) for kind in _PART_KINDS)
            return document.run(parts).without_details()
        except (UserError, msgspec.MsgspecError, ValueError, RecursionError):
            return read_run(Path(path)).without_details()  # which says in a sentence what is wrong

    def update(self, new: list[tuple[str, _Mark, Run]], gone: set[str]) -> None:
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
                rows = []
                for path, mark, run in new:
                    case, device, stack = (numbers.get(id(getattr(run, kind))) for kind in _PART_KINDS)
                    if case is not None and device is not None and stack is not None:  # else ``read_run`` read it
                        own = _Own(**{name: getattr(run, name) for name in _Own.__struct_fields__})
                        row = msgspec.msgpack.encode(_Row(path, mark, (case, device, stack), own))
                        rows.append((path, zlib.crc32(row), row))
                database.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", rows)
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
            self.runs[path] = row.mark, row.own.run(parts[number] for number in row.parts)

    def _part(self, kind: str, raw: bytes | msgspec.Raw) -> Any:
        key = kind, bytes(raw)
        if key not in self._parts:
            # A number made of the content is the same in every process that writes the index.
            digest = hashlib.blake2b(kind.encode() + key[1], digest_size=8).digest()
            number = int.from_bytes(digest, "big", signed=True)
            self._parts[key] = number, msgspec.json.decode(raw, type=_PART_KINDS[kind])
        return self._parts[key][1]
