"""Every run that was ever measured, read quickly: 100,000 documents in seconds, from an index that is only a cache.

The documents are the truth. Each is created once and never changes, so that what the index keeps of one holds as long
as its file is the same by name, size and times. Whatever is new or has changed is read from the documents; an index
that is torn, of another release, or cannot be written is as good as none.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gaudi_perf.stores.files import write_atomic
from gaudi_perf.stores.results import RUN_PREFIX, read_run
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.measurement import RUN_SCHEMA, Measurement, require_timestamp
from gaudi_perf.vocabulary.stack import Device, Host, Stack
from gaudi_perf.vocabulary.summary import MeasurementSummary, RunSummary, summarize, summarize_measurement

INDEX_FILE = ".history-index"
"""In the results directory; delete it whenever you like."""

_HEAD = b"gaudi-perf/history-index/1 "
_FRESH_NS = 2_000_000_000
"""A file younger than this is not indexed: it could change again within one tick of its times."""
_REWRITE_SHARE = 0.01
"""The index is written anew when more than this share of the runs is missing in it."""

_Mark = tuple[int, int, int]
"""Size in bytes, and the times of change of content and of the file's record, in nanoseconds."""


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run in the index; numbers stand for places in its tables."""

    path: str
    mark: _Mark
    run_id: str
    session_id: int
    started_at: str
    case: int
    device: int
    stack: int
    stack_label: str
    host_class: int
    host_load: float | None
    steal_percent: float | None
    measurement: MeasurementSummary


class _Index(msgspec.Struct, frozen=True):
    cases: list[Case]
    devices: list[Device]
    stacks: list[Stack]
    hosts: list[str]
    sessions: list[str]
    rows: list[_Row]


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
    """The runs that were found.

    Attributes:
        runs: by the time that they started.
        problems: a sentence for each document that could not be read.
        from_index: how many of the runs the index knew.
    """

    runs: tuple[RunSummary, ...]
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
        raise UserError(f"{directory}: there is no such results directory")
    collecting = gc.isenabled()
    gc.disable()  # hundreds of thousands of objects without cycles: looking for some takes seconds
    try:
        return _read(directory, use_index)
    finally:
        if collecting:
            gc.enable()


def _read(directory: Path, use_index: bool) -> HistoryRead:
    shared = _Shared()
    known = _load_index(directory / INDEX_FILE, shared) if use_index else {}
    newest = time.time_ns() - _FRESH_NS
    found: dict[str, tuple[RunSummary, str]] = {}
    marks: dict[str, _Mark] = {}
    problems: list[str] = []
    from_index = 0
    root = str(directory)
    for path, mark in _run_files(root, problems):
        relative = path[len(root) + 1 :]
        old = known.get(relative)
        if old is not None and old[0] == mark:
            summary = old[1]
            from_index += 1
        else:
            try:
                summary = _read_summary(path, shared)
            except UserError as error:
                problems.append(str(error))
                continue
        if max(mark[1:]) < newest:
            marks[relative] = mark
        there, _ = found.setdefault(summary.run_id, (summary, relative))
        if there is not summary and there != summary:
            problems.append(f"{path}: another document has the same run id {summary.run_id!r}: remove one of them")
    if use_index and len(marks) - from_index > _REWRITE_SHARE * len(marks):
        kept = [(relative, marks[relative], summary) for summary, relative in found.values() if relative in marks]
        with contextlib.suppress(UserError):  # a directory that cannot be written has no index
            write_atomic(directory / INDEX_FILE, _encode_index(kept))
    runs = sorted((summary for summary, _ in found.values()), key=lambda run: (run.started_at, run.run_id))
    return HistoryRead(tuple(runs), tuple(problems), from_index)


class _Shared:
    """Parts of documents that many runs have in common."""

    def __init__(self) -> None:
        self._by_raw: dict[tuple[type, bytes], Any] = {}
        self._texts: dict[str, str] = {}
        self.decoder = msgspec.json.Decoder(_RunDocument)

    def part(self, kind: type, raw: msgspec.Raw) -> Any:
        key = (kind, bytes(raw))
        if key not in self._by_raw:
            self._by_raw[key] = msgspec.json.decode(raw, type=kind)
        return self._by_raw[key]

    def text(self, text: str) -> str:
        return self._texts.setdefault(text, text)


def _read_summary(path: str, shared: _Shared) -> RunSummary:
    try:
        with open(path, "rb") as file:
            document = shared.decoder.decode(file.read())
        if not (
            document.schema == RUN_SCHEMA and 0 < len(document.run_id) <= 200 and 0 < len(document.session_id) <= 200
        ):
            raise ValueError
        require_timestamp(document.started_at, "started_at")
        measured = summarize_measurement(document.measurement)
        return RunSummary(
            run_id=document.run_id,
            session_id=shared.text(document.session_id),
            started_at=document.started_at,
            case=shared.part(Case, document.case),
            device=shared.part(Device, document.device),
            stack=shared.part(Stack, document.stack),
            stack_label=document.stack_label,
            host_class=shared.text(document.host.host_class),
            host_load=document.host.load,
            steal_percent=document.host.steal_percent,
            **_fields(measured),
        )
    except (OSError, ValueError, UnicodeError, RecursionError):  # msgspec's errors are ValueErrors
        return summarize(read_run(Path(path)))  # which says in a sentence what is wrong


def _fields(measured: MeasurementSummary) -> dict[str, Any]:
    return {name: getattr(measured, name) for name in MeasurementSummary.__struct_fields__}


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


def _load_index(path: Path, shared: _Shared) -> dict[str, tuple[_Mark, RunSummary]]:
    """What the index knows, by the path of the document; nothing if it is not whole."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        if head != _HEAD + str(zlib.crc32(body)).encode():
            return {}
        index = msgspec.msgpack.decode(body, type=_Index)
        return {
            row.path: (
                row.mark,
                RunSummary(
                    run_id=row.run_id,
                    session_id=index.sessions[row.session_id],
                    started_at=row.started_at,
                    case=index.cases[row.case],
                    device=index.devices[row.device],
                    stack=index.stacks[row.stack],
                    stack_label=row.stack_label,
                    host_class=index.hosts[row.host_class],
                    host_load=row.host_load,
                    steal_percent=row.steal_percent,
                    **_fields(row.measurement),
                ),
            )
            for row in index.rows
        }
    except (OSError, ValueError, UnicodeError, RecursionError, IndexError):
        return {}


def _encode_index(kept: list[tuple[str, _Mark, RunSummary]]) -> bytes:
    tables: dict[str, _Table] = {name: _Table() for name in ("cases", "devices", "stacks", "hosts", "sessions")}
    rows = [
        _Row(
            path=relative,
            mark=mark,
            run_id=run.run_id,
            session_id=tables["sessions"].place(run.session_id),
            started_at=run.started_at,
            case=tables["cases"].place(run.case),
            device=tables["devices"].place(run.device),
            stack=tables["stacks"].place(run.stack),
            stack_label=run.stack_label,
            host_class=tables["hosts"].place(run.host_class),
            host_load=run.host_load,
            steal_percent=run.steal_percent,
            measurement=MeasurementSummary(**{name: getattr(run, name) for name in _MEASURED}),
        )
        for relative, mark, run in kept
    ]
    index = _Index(rows=rows, **{name: table.items for name, table in tables.items()})
    body = msgspec.msgpack.encode(index)
    return _HEAD + str(zlib.crc32(body)).encode() + b"\n" + body


_MEASURED = MeasurementSummary.__struct_fields__


class _Table:
    """Each value once. Values are shared objects, so that most are found by identity."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._by_identity: dict[int, int] = {}
        self._by_text: dict[bytes, int] = {}

    def place(self, value: Any) -> int:
        found = self._by_identity.get(id(value))
        if found is None:
            text = msgspec.msgpack.encode(value)
            found = self._by_text.setdefault(text, len(self.items))
            if found == len(self.items):
                self.items.append(value)
            self._by_identity[id(value)] = found
        return found
