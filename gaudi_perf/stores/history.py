"""Every run that was ever measured, read quickly: 100,000 documents in seconds, from an index that is only a cache.

Documents never change, so an entry of the index is valid as long as name, size and times of its file are the same. An
index that is damaged, of another release, or cannot be written is ignored.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from gaudi_perf.stores.files import is_utf8, read_bytes
from gaudi_perf.stores.results import RunsRead, collected, read_run, require_results, run_files
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import Name, require_unique_keys
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Measurement, Run, RunSchema
from gaudi_perf.vocabulary.stack import Device, Host, Stack

INDEX_FILE = ".history-index"
"""In the results directory; delete it whenever you like."""

_VERSION = 4
_FRESH_NS = 2_000_000_000
"""A file younger than this is not indexed: it could change again within one tick of its times."""

_Mark = tuple[int, int, int]
"""Size in bytes, and the times of change of content and of the file's record, in nanoseconds."""


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A run document, as strict as ``Run``, whose parts that many runs share are decoded once for all of them."""

    schema: RunSchema = "gaudi-perf/run/1"
    run_id: Name
    session_id: Name
    started_at: str
    case: msgspec.Raw
    device: msgspec.Raw
    stack: msgspec.Raw
    host: Host
    measurement: Measurement
    stack_label: str = ""
    architecture: Architecture | UnsetType = UNSET


def read_history(directory: Path) -> RunsRead:
    """All runs under a results directory, or one session's, without their details (``Run.without_details``); a run that
    is there twice (a copy) counts once. Raises UserError if there is no such directory.
    """
    require_results(directory)
    with many_documents():
        return _read(directory)


@contextmanager
def many_documents() -> Iterator[None]:
    """Reads hundreds of thousands of objects without cycles, of which looking for some takes seconds."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def run_decoder() -> Callable[[str], Run]:
    """What reads a run document by its path, without its details; parts that many runs share are decoded once.
    It raises UserError if the document is malformed or cannot be read.
    """
    return _Index(None).decode


def _read(directory: Path) -> RunsRead:
    index = _Index(directory / INDEX_FILE)
    newest = time.time_ns() - _FRESH_NS
    new: dict[str, tuple[_Mark, Run]] = {}
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
        if max(mark[1:]) < newest and is_utf8(relative):
            new[relative] = mark, run
        return run

    runs = collected(run_files(root, problems), read, problems)
    index.update(new, gone=index.runs.keys() - seen - new.keys())
    return RunsRead(runs, tuple(problems))


class _Index:
    """The index of a results directory; without a path, nothing is known and nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.runs: dict[str, tuple[_Mark, Run]] = {}
        self._path = path
        self._parts: dict[tuple[str, bytes], Any] = {}
        self._decoder = msgspec.json.Decoder(_Document)
        if path is not None and path.exists():
            try:
                with closing(sqlite3.connect(path, timeout=1)) as database:
                    self._load(database)
            except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError):  # damaged, or another's
                self.runs = {}
                with suppress(OSError):
                    path.unlink()

    def decode(self, path: str) -> Run:
        try:
            data = read_bytes(path)
            run = self._run(self._decoder.decode(data), msgspec.json.decode).without_details()
            require_unique_keys(data)
            return run
        except (UserError, msgspec.MsgspecError, ValueError, RecursionError):
            return read_run(Path(path)).without_details()  # which says in a sentence what is wrong

    def update(self, new: dict[str, tuple[_Mark, Run]], gone: set[str]) -> None:
        if self._path is None or not (new or gone):
            return
        rows = ((path, msgspec.msgpack.encode((path, *entry))) for path, entry in new.items())  # a million: a gigabyte
        checked = ((path, zlib.crc32(row), row) for path, row in rows)
        # A directory that cannot be written has no index; another process may be writing it.
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=1)) as database, database:
            if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                database.execute("CREATE TABLE runs (path TEXT PRIMARY KEY, checksum INTEGER, row BLOB)")
                database.execute(f"PRAGMA user_version = {_VERSION}")
            database.executemany("DELETE FROM runs WHERE path = ?", [(path,) for path in gone])
            database.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", checked)

    def _load(self, database: sqlite3.Connection) -> None:
        if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise sqlite3.DatabaseError("of another release")
        decoder = msgspec.msgpack.Decoder(tuple[str, _Mark, _Document])
        for path, checksum, row in database.execute("SELECT path, checksum, row FROM runs"):
            named, mark, document = decoder.decode(row)
            if zlib.crc32(row) != checksum or named != path:
                raise ValueError("damaged")
            self.runs[path] = mark, self._run(document, msgspec.msgpack.decode)

    def _run(self, document: _Document, decode: Callable[..., Any]) -> Run:
        fields = {name: getattr(document, name) for name in _Document.__struct_fields__}
        for name, kind in (("case", Case), ("device", Device), ("stack", Stack)):
            key = name, bytes(fields[name])
            if key not in self._parts:
                self._parts[key] = decode(key[1], type=kind)
            fields[name] = self._parts[key]
        return Run(**fields)
