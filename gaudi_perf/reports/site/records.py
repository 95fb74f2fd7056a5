"""What a site needs of results: the levels of every session, some thirty bytes each, and the verdict of each case.

A site of a million runs must not read them all each night. What was read of a session's directory is kept in an index
in the results directory. An entry is valid while the directory's modification time is the same: run documents never
change, and a new one changes that time. The index is a cache: one that is damaged, of another release, or cannot be
written is ignored.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gaudi_perf.judging.trends import SessionLevel
from gaudi_perf.reports.page.build import LOOK, STATES, minutes, state_of
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.wording import case_headline, title
from gaudi_perf.stores.files import is_utf8, read_bytes, write_atomic
from gaudi_perf.stores.history import many_documents, run_decoder
from gaudi_perf.stores.results import RUN_PREFIX, SESSION_FILE, require_results
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.errors import UserError, noted
from gaudi_perf.vocabulary.run import Comparability, Run, in_order
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Origin, Session, decode_session

INDEX_FILE = ".site-index"
"""In the results directory; delete it whenever you like."""

_VERSION = 3
_FRESH_NS = 2_000_000_000
"""A directory that changed this short a time ago could change again within one tick of its times."""
_LONGEST_SLUG = 120
_DEEPEST = 4
_CHUNK = 20
"""How many sessions a process reads at once."""
_STATE_INDEX = {key: index for index, key in enumerate(STATES)}

Points = NDArray[np.void]
POINT = np.dtype([("trend", "<i4"), ("stack", "<i4"), ("at", "<i4"), ("level", "<f8"), ("low", "<f4"), ("high", "<f4")])
"""A level: index of its trend and its stack, minutes since 1970, seconds (median and quartiles of the rounds)."""
INDICES, NUMBERS = ("case", "state", "trend", "baseline"), ("level", "before", "ratio", "low", "high")
ROW = np.dtype([*((name, "<i4") for name in INDICES), *((name, "<f4") for name in NUMBERS)])
"""What a case came to in a session: indices (-1 for none), its level and that of the baseline, the change."""


class KnownTrend(msgspec.Struct, frozen=True):
    """A trend with the name of its page."""

    key: Comparability
    slug: str


class KnownSession(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a session.

    Attributes:
        path: its directory, below the results directory.
        mark: when the directory changed, in nanoseconds.
        title: what it came to; empty where it never ended.
        headlines: a sentence for each case that needs a look, by the index of the case.
    """

    session_id: str
    path: str
    mark: int
    started_at: str
    title: str
    devices: list[str]
    stacks: list[str]
    points: bytes
    rows: bytes
    headlines: dict[int, str]
    origin: Origin | None = None

    @property
    def levels(self) -> Points:
        """Its levels."""
        return np.frombuffer(self.points, POINT)

    @property
    def cases(self) -> Points:
        """What its cases came to."""
        return np.frombuffer(self.rows, ROW)


class Records(msgspec.Struct, kw_only=True):
    """All that is kept; indices never change, so that pages that were written stay right."""

    version: int = _VERSION
    cases: list[str] = []
    baselines: list[str] = []
    trends: list[KnownTrend] = []
    stacks: list[Stack] = []
    sessions: list[KnownSession] = []


def read_records(results: Path) -> RecordsRead:
    """Read what is new under a results directory, and keep it in the index.
    Raises UserError if there is no such directory.
    """
    require_results(results)
    with many_documents():
        read = RecordsRead(results)
        read.read()
    return read


class RecordsRead:
    """Records, with a sentence for each document that could not be read, and which sessions were read anew; those are
    read in chunks.
    """

    def __init__(self, results: Path) -> None:
        self.records = _load(results / INDEX_FILE)
        self.problems: list[str] = []
        self.new: set[str] = set()
        self._results, self._tables = results, _Tables(self.records)

    def read(self) -> None:
        """Read what is new."""
        known = {session.path: session for session in self.records.sessions}
        fresh = time.time_ns() - _FRESH_NS
        found = dict(self._directories(str(self._results), known, depth=0))
        new = [(path, mark) for path, mark in found.items() if path not in known or known[path].mark != mark]
        sessions = {path: known[path] for path in found if path in known and known[path].mark == found[path]}
        for session in self._chunks(new):
            sessions[session.path] = session
            self.new.add(session.session_id)
        places: dict[str, str] = {}
        for path in [path for path in found if path in sessions]:
            first = places.setdefault(sessions[path].session_id, path)
            if first != path:
                again = f"session {sessions.pop(path).session_id} of {first} is there again as {path}"
                self.problems.append(f"{again}: the first is shown")
        # In the order in which they were first read: pages refer to sessions by their place.
        order = [path for path in known if path in sessions] + [path for path in sessions if path not in known]
        self.records.sessions = [sessions[path] for path in order]
        if order != list(known) or self.new:
            self._store(fresh)

    def _chunks(self, new: Sequence[tuple[str, int]]) -> Iterator[KnownSession]:
        """The sessions of directories; many are read by several processes, which hand over what they read as bytes."""
        chunks = [new[start : start + _CHUNK] for start in range(0, len(new), _CHUNK)]
        processes = min(len(chunks), os.cpu_count() or 1)
        if processes < 2:
            for chunk in chunks:
                yield from self._merged(_read_chunk(str(self._results), chunk))
            return
        with ProcessPoolExecutor(processes) as pool:
            for answer in pool.map(_read_chunk, repeat(str(self._results)), chunks):
                yield from self._merged(answer)

    def _merged(self, answer: bytes) -> Iterator[KnownSession]:
        """The sessions of a chunk, with the indices of all."""
        theirs, problems = msgspec.msgpack.decode(answer, type=tuple[Records, list[str]])
        self.problems += problems
        tables = self._tables
        trends = np.array([tables.trend(known.key) for known in theirs.trends], dtype="<i4")
        stacks = np.array([tables.stack(stack) for stack in theirs.stacks], dtype="<i4")
        cases = np.array([tables.case(name) for name in theirs.cases], dtype="<i4")
        baselines = np.array([tables.baseline(label) for label in theirs.baselines], dtype="<i4")
        for session in theirs.sessions:
            points, rows = session.levels.copy(), session.cases.copy()
            for table, name, indices in (
                (points, "trend", trends),
                (points, "stack", stacks),
                (rows, "trend", trends),
                (rows, "case", cases),
                (rows, "baseline", baselines),
            ):
                there = table[name] >= 0
                table[name][there] = indices[table[name][there]]
            headlines = {int(cases[case]): text for case, text in session.headlines.items()}
            yield msgspec.structs.replace(session, points=points.tobytes(), rows=rows.tobytes(), headlines=headlines)

    def _directories(self, root: str, known: dict[str, KnownSession], depth: int) -> Iterator[tuple[str, int]]:
        """The directories of sessions, with when they changed; those that are known are not listed."""
        try:
            with os.scandir(root) as listing:
                folders = sorted(
                    (entry for entry in listing if entry.is_dir(follow_symlinks=False)), key=lambda entry: entry.name
                )
        except OSError as error:
            self.problems.append(f"{root}: cannot be read ({error.strerror})")
            return
        base = len(str(self._results)) + 1
        for folder in folders:
            relative, mark = folder.path[base:], folder.stat().st_mtime_ns
            session = known.get(relative)
            if not is_utf8(relative):
                self.problems.append(f"{folder.path}: its name is not UTF-8, and it is left out: rename it")
            elif (session is not None and session.mark == mark) or _holds_documents(folder.path):
                yield relative, mark
            elif depth < _DEEPEST:
                yield from self._directories(folder.path, known, depth + 1)

    def _store(self, fresh: int) -> None:
        kept = [session for session in self.records.sessions if session.mark < fresh]
        copied = msgspec.structs.replace(self.records, sessions=kept)
        with suppress(UserError, OSError):  # a directory that cannot be written has no index
            content = msgspec.msgpack.encode(copied)
            write_atomic(self._results / INDEX_FILE, _checksum(content) + content, lasting=False)


def _read_chunk(results: str, folders: Sequence[tuple[str, int]]) -> bytes:
    """Read sessions, with indices of their own."""
    gc.disable()
    reader = _ChunkReader(results)
    for path, mark in folders:
        session = reader.session(path, mark)
        if session is not None:
            reader.records.sessions.append(session)
    return msgspec.msgpack.encode((reader.records, reader.problems))


class _Tables:
    """Gives what records refer to its index."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._cases = {name: index for index, name in enumerate(records.cases)}
        self._baselines = {name: index for index, name in enumerate(records.baselines)}
        self._trends = {known.key: index for index, known in enumerate(records.trends)}
        self._slugs = {known.slug for known in records.trends}
        self._stacks = {encode_line(stack): index for index, stack in enumerate(records.stacks)}

    def trend(self, key: Comparability) -> int:
        index = self._trends.get(key)
        if index is None:
            index = self._trends[key] = len(self._records.trends)
            slug = re.sub(r"[^A-Za-z0-9._-]", "_", f"{key.device}.{key.case.id}")[:_LONGEST_SLUG]
            if slug in self._slugs:
                slug = f"{slug}.{hashlib.sha256(encode_line(key)).hexdigest()[:8]}"
            self._slugs.add(slug)
            self._records.trends.append(KnownTrend(key, slug))
        return index

    def stack(self, stack: Stack) -> int:
        return _index(self._stacks, encode_line(stack), self._records.stacks, stack)

    def case(self, name: str) -> int:
        return _index(self._cases, name, self._records.cases, name)

    def baseline(self, label: str) -> int:
        return _index(self._baselines, label, self._records.baselines, harmless(label, 200))


class _ChunkReader:
    """Reads sessions; parts of documents that many runs share are looked at once."""

    def __init__(self, results: str) -> None:
        self.records = Records()
        self.problems: list[str] = []
        self._results = results
        self._tables = _Tables(self.records)
        self._decode = run_decoder()
        self._shared: dict[tuple[int, int, str, str, str], tuple[int, int, object, object]] = {}

    def session(self, path: str, mark: int) -> KnownSession | None:
        folder = f"{self._results}/{path}"
        document: Session | None = None
        runs: list[Run] = []
        for name in sorted(os.listdir(folder)):
            with noted(self.problems):
                if name == SESSION_FILE:
                    document = decode_session(read_bytes(f"{folder}/{name}"), f"{folder}/{name}")
                elif name.startswith(RUN_PREFIX) and name.endswith(".json"):
                    runs.append(self._decode(f"{folder}/{name}"))
        if not runs and document is None:
            return None
        runs = in_order(runs)
        points, places = self._points(runs)
        reports = [] if document is None else document.cases
        states = [state_of(report) for report in reports]
        headlines = {
            self._tables.case(report.case.id): harmless(case_headline(report), 300)
            for report, state in zip(reports, states, strict=True)
            if state in LOOK
        }
        rows = [self._row(report, state, places) for report, state in zip(reports, states, strict=True)]
        return KnownSession(
            session_id=document.session_id if document is not None else runs[0].session_id,
            path=path,
            mark=mark,
            started_at=document.started_at if document is not None else runs[0].started_at,
            title="" if document is None else title(document),
            devices=sorted({run.device.name for run in runs}),
            stacks=list(dict.fromkeys(run.stack_title for run in runs)),
            points=points.tobytes(),
            rows=np.array(rows, dtype=ROW).tobytes(),
            headlines=headlines,
            origin=None if document is None else document.origin,
        )

    def _points(self, runs: Sequence[Run]) -> tuple[Points, dict[str, tuple[int, float]]]:
        """The levels of a session, and for each run id its trend and the level that it is part of."""
        groups: dict[tuple[int, int], list[Run]] = {}
        for run in runs:
            if run.usable:
                groups.setdefault(self._place(run), []).append(run)
        points, places = [], {}
        for (trend, stack), group in groups.items():
            level = SessionLevel.of(group)
            low, high = level.quartiles_s
            points.append((trend, stack, minutes(level.started_at), level.level_s, low, high))
            places.update(dict.fromkeys((run.run_id for run in group), (trend, level.level_s)))
        return np.array(points, dtype=POINT), places

    def _place(self, run: Run) -> tuple[int, int]:
        """The indices of a run's trend and stack."""
        shared = (id(run.case), id(run.stack), run.device.name, run.stack_label, run.host.host_class)
        found = self._shared.get(shared)
        if found is None:  # the parts are kept, so that no others have their ids
            indices = self._tables.trend(run.comparability), self._tables.stack(run.stack)
            found = self._shared[shared] = (*indices, run.case, run.stack)
        return found[0], found[1]

    def _row(self, report: CaseReport, state: str, places: Mapping[str, tuple[int, float]]) -> tuple[float, ...]:
        verdict = report.verdicts[0] if report.verdicts else None
        trend, level = next((places[run_id] for run_id in report.run_ids if run_id in places), (-1, np.nan))
        case = self._tables.case(report.case.id)
        if verdict is None:
            return (case, _STATE_INDEX[state], trend, -1, level, *[np.nan] * 4)
        baseline = self._tables.baseline(verdict.baseline) if verdict.baseline else -1
        numbers = (verdict.baseline_median_s, verdict.ratio, verdict.low, verdict.high)
        known = (np.nan if number is None else number for number in numbers)
        return (case, _STATE_INDEX[state], trend, baseline, level, *known)


def _index(known: dict[Any, int], key: Any, kept: list[Any], value: Any) -> int:
    index = known.get(key)
    if index is None:
        index = known[key] = len(kept)
        kept.append(value)
    return index


def _holds_documents(path: str) -> bool:
    with suppress(OSError), os.scandir(path) as entries:
        return any(
            entry.name == SESSION_FILE or (entry.name.startswith(RUN_PREFIX) and entry.name.endswith(".json"))
            for entry in entries
        )
    return False


def _checksum(content: bytes | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")


def _load(path: Path) -> Records:
    with suppress(OSError, msgspec.MsgspecError, ValueError, RecursionError):
        content = memoryview(path.read_bytes())
        if content[:4] == _checksum(content[4:]):
            found = msgspec.msgpack.decode(content[4:], type=Records)
            if found.version == _VERSION:
                return found
    return Records()
