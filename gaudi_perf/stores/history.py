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

from gaudi_perf.stores.files import is_utf8, read_bytes
from gaudi_perf.stores.results import RunsRead, collected, read_run, require_results, run_files
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import require_unique_keys
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Device, Stack

INDEX_FILE = ".history-index"
"""In the results directory; delete it whenever you like."""

_VERSION = 5
_FRESH_NS = 2_000_000_000
"""A file younger than this is not indexed: it could change again within one tick of its times."""

_Mark = tuple[int, int, int]
"""Size in bytes, and the times of change of content and of the file's record, in nanoseconds."""

_SHARED = {"case": Case, "device": Device, "stack": Stack}
"""Parts that many runs share; each is decoded once for all of them."""

_Document = msgspec.defstruct(
    "_Document",
    [
        (one.name, msgspec.Raw if one.name in _SHARED else one.type, msgspec.field(default=one.default))
        for one in msgspec.structs.fields(Run)
    ],
    kw_only=True,
    forbid_unknown_fields=True,
    gc=False,
)
"""A run document, as strict as ``Run``, whose shared parts are not decoded yet."""


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
        # One by one: of a million runs they are a gigabyte.
        encoded = ((path, mark, msgspec.msgpack.encode(run)) for path, (mark, run) in new.items())
        # A directory that cannot be written has no index; another process may be writing it.
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=1)) as database, database:
            if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                database.execute("CREATE TABLE runs (path TEXT PRIMARY KEY, size, modified, changed, run, checksum)")
                database.execute(f"PRAGMA user_version = {_VERSION}")
            database.executemany("DELETE FROM runs WHERE path = ?", [(path,) for path in gone])
            rows = ((path, *mark, run, _checksum(path, mark, run)) for path, mark, run in encoded)
            database.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _load(self, database: sqlite3.Connection) -> None:
        if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise sqlite3.DatabaseError("of another release")
        decoder = msgspec.msgpack.Decoder(_Document)
        for path, size, modified, changed, run, checksum in database.execute("SELECT * FROM runs"):
            mark = size, modified, changed
            if _checksum(path, mark, run) != checksum:
                raise ValueError("damaged")
            self.runs[path] = mark, self._run(decoder.decode(run), msgspec.msgpack.decode)

    def _run(self, document: msgspec.Struct, decode: Callable[..., Any]) -> Run:
        fields = {name: getattr(document, name) for name in document.__struct_fields__}
        for name, kind in _SHARED.items():
            key = name, bytes(fields[name])
            if key not in self._parts:
                self._parts[key] = decode(key[1], type=kind)
            fields[name] = self._parts[key]
        return Run(**fields)


def _checksum(path: str, mark: _Mark, run: bytes) -> int:
    return zlib.crc32(run, zlib.crc32(repr((path, mark)).encode()))
