"""From records to the data of the site's pages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.judging.trends import SessionLevel, TrendChanges, level_on_stack, named, series_of
from gaudi_perf.reports.page.build import STATES, level_change_of, links_of, odd_session_of, written_about
from gaudi_perf.reports.page.data import Pair, ShownTrend, rounded
from gaudi_perf.reports.page.stored import StoredBaselines
from gaudi_perf.reports.site import data
from gaudi_perf.reports.site.records import INDICES, NUMBERS, POINT, KnownSession, Points, Records
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.wording import changed_since
from gaudi_perf.statistics.change_points import all_change_points
from gaudi_perf.vocabulary.formats import minute, seconds, throughput
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.note import Note

SPARK = 40
"""How many of the newest levels stand beside a case."""
_PREVIOUS = 14
_MANY = 100_000
"""Levels that take longer to search than processes take to start."""
_PART = 128
"""Trends that a process searches at once."""


class SiteBuilder:
    """The data of each page; ``problems`` has a sentence for every baseline that could not be read."""

    def __init__(self, records: Records, baselines: Path, notes: Sequence[Note]) -> None:
        self.records, self.notes = records, notes
        self._stored = StoredBaselines(baselines, {known.key.device for known in records.trends})
        self.problems = list(self._stored.problems)
        stacks = records.stacks
        self._stack_names = [stack.name for stack in stacks]
        self._stack_order = {stack.name: (stack.kind, stack.order) for stack in stacks}
        ranks = {order: rank for rank, order in enumerate(sorted(set(self._stack_order.values())))}
        self._version_rank = np.array([ranks[self._stack_order[name]] for name in self._stack_names], dtype=np.int64)
        lengths = [len(session.points) // POINT.itemsize for session in records.sessions]
        self._points: Points = (
            np.concatenate([session.levels for session in records.sessions]) if lengths else np.empty(0, POINT)
        )
        self._session = np.repeat(np.arange(len(lengths)), lengths)
        at = self._points["at"]
        self._trends_by_time = self._by_trend(self._session, at)
        # By version, and by time within a version, as ``judging.trends`` has it.
        self._trends_by_version = self._by_trend(self._session, at, self._version_rank[self._points["stack"]])

    def _by_trend(self, *keys: NDArray[np.signedinteger]) -> list[NDArray[np.int64]]:
        """For each trend the places of its points, in the order of keys, the last of which counts first."""
        trend = self._points["trend"]
        order = np.lexsort((*keys, trend))
        edges = np.searchsorted(trend[order], np.arange(len(self.records.trends) + 1))
        return [order[start:end] for start, end in itertools.pairwise(edges)]

    @cached_property
    def by_time(self) -> list[KnownSession]:
        """The sessions, oldest first."""
        return sorted(self.records.sessions, key=lambda session: (session.started_at, session.session_id))

    @cached_property
    def newest(self) -> KnownSession:
        """The newest session that came to its end; where none did, the newest."""
        ended = [session for session in self.by_time if session.title]
        return (ended or self.by_time)[-1]

    def names(self) -> data.Names:
        """What other data refers to."""
        cases = {name: index for index, name in enumerate(self.records.cases)}
        trends = []
        for trend in self.records.trends:
            key = trend.key
            case = cases.setdefault(key.case.id, len(cases))  # a new one is of a session that never ended
            weights = "" if key.case.weights == "dummy" else key.case.weights
            more = [key.stack_label, weights, key.case.options, key.host_class]
            words = harmless(", ".join(part for part in more if part))
            trends.append(data.TrendName(page=trend.slug, case=case, device=harmless(key.device), more=words))
        return data.Names(
            tolerance=TOLERANCES[LATENCY],
            cases=[harmless(name, 300) for name in cases],
            states=list(STATES.items()),
            baselines=self.records.baselines,
            stacks=[harmless(stack.name) for stack in self.records.stacks],
            trends=trends,
        )

    def session(self, session: KnownSession) -> data.SessionTable:
        """The page of a session."""
        rows = session.cases
        columns: dict[str, Any] = {name: rows[name].tolist() for name in INDICES}
        columns |= {name: _known(rows[name]) for name in NUMBERS}
        return data.SessionTable(
            id=session.session_id,
            at=minute(session.started_at),
            title=session.title or "This session never came to its end",
            about=about(session),
            links=links_of(session.origin),
            headlines=session.headlines,
            **columns,
            levels=(session.levels["trend"].tolist(), _known(session.levels["level"])),
        )

    def index(self) -> data.Index:
        """The first page."""
        newest = self.session(self.newest)
        previous = [session for session in self.by_time if session is not self.newest][-_PREVIOUS:]
        return data.Index(
            newest=newest,
            sparks={trend: self._spark(trend) for trend in newest.trend if trend >= 0},
            previous=[(session.session_id, _line(session)) for session in reversed(previous)],
            problems=[harmless(problem) for problem in self.problems],
        )

    def trends(self) -> list[data.ListedTrend]:
        """All trends that have a level, those that were measured last first."""
        found = []
        for index, own in enumerate(self._trends_by_time):
            if own.size:
                changes = self._changes[index][0].changes
                last = self._points[own[-1]]
                found.append(
                    data.ListedTrend(
                        trend=index,
                        at=minute(str(np.datetime64(int(last["at"]), "m"))),
                        sessions=int(own.size),
                        level=rounded(float(last["level"])),
                        ratio=rounded(changes[-1].point.ratio) if changes else None,
                        since=changed_since(changes[-1]) if changes else "",
                    )
                )
        return sorted(found, key=lambda one: one.at, reverse=True)

    def sessions(self) -> list[data.ListedSession]:
        """All sessions, newest first."""
        found = []
        for session in reversed(self.by_time):
            counts = np.bincount(session.cases["state"]).tolist()
            found.append(
                data.ListedSession(
                    id=session.session_id,
                    at=minute(session.started_at),
                    title=session.title or "never came to its end",
                    devices=harmless(", ".join(session.devices)),
                    stacks=harmless(", ".join(session.stacks)),
                    cases=sum(counts),
                    counts={state: count for state, count in enumerate(counts) if count},
                )
            )
        return found

    def releases(self) -> list[data.Release]:
        """The levels on each version of the stack, oldest version first."""
        levels: dict[str, dict[int, list[float]]] = {}
        sessions: dict[str, set[int]] = {}
        for index, own in enumerate(self._trends_by_time):
            for stack in np.unique(self._points["stack"][own]):
                here = own[self._points["stack"][own] == stack]
                name = self._stack_names[int(stack)]
                levels.setdefault(name, {}).setdefault(index, []).extend(self._points["level"][here].tolist())
                sessions.setdefault(name, set()).update(self._session[here].tolist())
        order = dict(self._stack_order)
        for name, stack in self._stored.stacks.items():
            order.setdefault(name, (stack.kind, stack.order))
        for name, index, level in self._stored_levels():
            levels.setdefault(name, {}).setdefault(index, [level])
        return [
            data.Release(
                name=harmless(name),
                sessions=len(sessions.get(name, ())),
                trend=list(levels[name]),
                level=[rounded(level_on_stack(values)) for values in levels[name].values()],
            )
            for name in sorted(levels, key=lambda name: order[name])
        ]

    def trend(self, index: int) -> data.TrendPage:
        """The page of a trend that has a level."""
        key = self.records.trends[index].key
        own, (happened, places) = self._trends_by_time[index], self._changes[index]
        points = self._points[own]
        names = list(dict.fromkeys(self._stack_names[stack] for stack in dict.fromkeys(points["stack"].tolist())))
        numbers = {name: number for number, name in enumerate(names)}
        of_stack = np.array([numbers.get(name, -1) for name in self._stack_names])
        stacks = of_stack[points["stack"]]
        workload, newest = key.case.workload, float(points["level"][-1])
        about = [
            ("Device", key.device),
            ("Workload", workload.words),
            ("Weights", key.case.made_of),
            ("Options", key.case.options),
            ("Host", key.host_class),
            ("Stack's label", key.stack_label),
            ("Sessions", str(own.size)),
            ("Newest level", f"{seconds(newest)}, {throughput(workload.tokens_per_s(newest))} new tokens a second"),
        ]
        by_version = sorted(names, key=lambda name: self._stack_order[name])
        return data.TrendPage(
            case=harmless(key.case.id, 300),
            device=harmless(key.device),
            about=[(name, harmless(value)) for name, value in about if value],
            trend=ShownTrend(
                at=points["at"].tolist(),
                level=_all_rounded(points["level"]),
                low=_all_rounded(points["low"]),
                high=_all_rounded(points["high"]),
                stack=stacks.tolist(),
                changes=[
                    level_change_of(place, change) for place, change in zip(places, happened.changes, strict=True)
                ],
                odd=[odd_session_of(odd) for odd in happened.odd],
            ),
            stacks=[harmless(name) for name in names],
            sessions=self._session[own].tolist(),
            levels=[
                (harmless(name), rounded(level_on_stack(points["level"][here].tolist())), int(here.sum()))
                for name in by_version
                for here in [stacks == numbers[name]]
            ],
            written=written_about(self.notes, key.case.id, key.device),
        )

    def measured(self) -> list[int]:
        """The trends that have a level."""
        return [index for index, own in enumerate(self._trends_by_time) if own.size]

    def touched(self, sessions: set[str]) -> set[int]:
        """The trends of these sessions."""
        return {
            int(trend)
            for session in self.records.sessions
            if session.session_id in sessions
            for trend in np.unique(session.levels["trend"])
        }

    @cached_property
    def _changes(self) -> list[tuple[TrendChanges, list[int]]]:
        """The changes of each trend, as ``judging.trends`` finds them, and where they lie by time. Many levels are
        searched by several processes.
        """
        orders = (self._points[own] for own in self._trends_by_version)
        series = [series_of(points["level"], points["stack"].tolist()) for points in orders]
        if self._points.size < _MANY:
            searched = all_change_points(series)
        else:
            parts = [series[start : start + _PART] for start in range(0, len(series), _PART)]
            with ProcessPoolExecutor() as pool:
                searched = list(itertools.chain.from_iterable(pool.map(all_change_points, parts)))
        return [
            (
                named(partial(self._level, own), found),
                [int(np.flatnonzero(in_time == own[point.index])[0]) for point in found.points],
            )
            for own, in_time, found in zip(self._trends_by_version, self._trends_by_time, searched, strict=True)
        ]

    def _level(self, own: NDArray[np.int64], place: int) -> SessionLevel:
        point, session = self._points[own[place]], self._session[own[place]]
        return SessionLevel(
            session_id=self.records.sessions[session].session_id,
            started_at=f"{np.datetime64(int(point['at']), 'm')}:00Z",
            stack=self.records.stacks[point["stack"]],
            level_s=float(point["level"]),
            quartiles_s=(float(point["low"]), float(point["high"])),
        )

    def _spark(self, index: int) -> data.Spark:
        own, (happened, places) = self._trends_by_time[index], self._changes[index]
        first = max(own.size - SPARK, 0)
        return data.Spark(
            level=_all_rounded(self._points["level"][own[first:]]),
            changes=[
                (place - first, rounded(change.point.ratio))
                for place, change in zip(places, happened.changes, strict=True)
                if place > first
            ],
            since=changed_since(happened.changes[-1]) if happened.changes else "",
        )

    def _stored_levels(self) -> Iterator[tuple[str, int, float]]:
        """Levels of baselines by the names of their stacks, with the trends that could be compared with them."""
        trends: dict[tuple[str, str], list[int]] = {}
        for index, known in enumerate(self.records.trends):
            trends.setdefault((known.key.device, known.key.case.id), []).append(index)
        for entry in self._stored.entries:
            for index in trends.get((entry.device.name, entry.case.id), ()):
                if not entry.differences(self.records.trends[index].key):
                    yield entry.stack.name, index, entry.case.level_s


def about(session: KnownSession) -> list[Pair]:
    """When, on which device and stack."""
    facts = (
        ("Began", f"{minute(session.started_at)} UTC"),
        ("Device", ", ".join(session.devices)),
        ("Stack", ", ".join(session.stacks)),
    )
    return [(name, harmless(value)) for name, value in facts if value]


def _line(session: KnownSession) -> str:
    when = minute(session.started_at)
    return harmless(f"{when}, {', '.join(session.stacks)}: {session.title or 'never came to its end'}")


def _all_rounded(values: NDArray[np.floating]) -> list[float]:
    """Values with five significant digits; those of a list are alike, so that as many decimals do for all."""
    if not values.size:
        return []
    decimals = 4 - math.floor(math.log10(float(values.max())))
    return np.round(values.astype(np.float64), decimals).tolist()  # type: ignore[no-any-return]


def _known(values: NDArray[np.floating]) -> list[float | None]:
    """As ``rounded``; None for what is not a number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        decimals = 4 - np.floor(np.log10(np.abs(values.astype(np.float64))))
    scale = 10.0 ** np.where(np.isfinite(decimals), decimals, 0)
    found: list[float | None] = (np.round(values * scale) / scale).tolist()
    for index in np.flatnonzero(np.isnan(values)).tolist():
        found[index] = None
    return found
