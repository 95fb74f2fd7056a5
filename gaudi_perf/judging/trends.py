"""Trends: what was measured of a case, version by version and session by session, and where its level changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from gaudi_perf.statistics.change_points import ChangePoint, LevelChanges, Series, all_change_points
from gaudi_perf.statistics.sample import FloatArray
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.run import Comparability, Run, level_of
from gaudi_perf.vocabulary.stack import Stack, stack_changes


@dataclass(frozen=True)
class SessionLevel:
    """What one session measured of a case on one stack.

    Attributes:
        started_at: when its first run of the case began, in UTC.
        quartiles_s: lower and upper quartile of all its rounds.
    """

    session_id: str
    started_at: str
    stack: Stack
    level_s: float
    quartiles_s: tuple[float, float]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> SessionLevel:
        """The level of runs that can be judged and were steady, of one session."""
        rounds = sorted(latency for run in runs for latency in run.measurement.latencies_s)
        return cls(
            session_id=runs[0].session_id,
            started_at=min(run.started_at for run in runs),
            stack=runs[0].stack,
            level_s=level_of(runs),
            quartiles_s=(_quantile(rounds, 0.25), _quantile(rounds, 0.75)),
        )


@dataclass(frozen=True)
class Trend:
    """The sessions of what may be compared: by version of the stack, and by time within a version.

    One session can measure several releases, so that time alone is no order in which levels follow each other. Stacks
    that were measured side by side under names of their own are trends of their own.
    """

    key: Comparability
    sessions: tuple[SessionLevel, ...]

    @property
    def levels(self) -> dict[str, float]:
        """The level on each version of the stack, by its name."""
        found: dict[str, list[float]] = {}
        for session in self.sessions:
            found.setdefault(session.stack.name, []).append(session.level_s)
        return {name: level_on_stack(levels) for name, levels in found.items()}


def level_on_stack(levels: Sequence[float]) -> float:
    """The level on a version of the stack: the median of those of its sessions, in seconds."""
    return float(median(levels))


@dataclass(frozen=True)
class Change:
    """A change of level, from one session to the next, and what differs between their stacks.

    ``stack_changes`` are as ``driver 1.22.0 -> 1.23.0``; empty if nothing that is recorded changed.
    """

    point: ChangePoint
    before: SessionLevel
    since: SessionLevel
    stack_changes: tuple[str, ...]


@dataclass(frozen=True)
class OddSession:
    """A session that lies apart from the level around it by a ratio; of the ``newest`` it is too early to say."""

    session: SessionLevel
    ratio: float
    newest: bool


@dataclass(frozen=True)
class TrendChanges:
    """What changed in a trend, each in the order of its sessions."""

    changes: list[Change] = field(default_factory=list)
    odd: list[OddSession] = field(default_factory=list)


def trends(runs: Iterable[Run]) -> dict[Comparability, Trend]:
    """Put runs together that may be compared; INVALID ones and those that never became steady are left out."""
    groups: dict[Comparability, dict[tuple[str, str], list[Run]]] = {}
    for run in runs:
        if run.usable:
            sessions = groups.setdefault(run.comparability, {})
            sessions.setdefault((run.session_id, run.stack.name), []).append(run)
    found = [
        (key, Trend(key, _version_order(SessionLevel.of(own) for own in sessions.values())))
        for key, sessions in groups.items()
    ]
    return dict(
        sorted(found, key=lambda item: (item[0].device, item[0].case.key, item[0].host_class, item[0].stack_label))
    )


def changes_of(trend: Trend, *, tolerance: float = TOLERANCES[LATENCY]) -> TrendChanges:
    """The changes of level of a trend and its odd sessions, in the order of its sessions."""
    return all_changes([trend], tolerance=tolerance)[0]


def all_changes(trends: Sequence[Trend], *, tolerance: float = TOLERANCES[LATENCY]) -> list[TrendChanges]:
    """``changes_of`` each trend; many are searched faster at once."""
    series = [
        series_of([one.level_s for one in trend.sessions], [one.stack for one in trend.sessions]) for trend in trends
    ]
    return [
        named(trend.sessions.__getitem__, found)
        for trend, found in zip(trends, all_change_points(series, tolerance=tolerance), strict=True)
    ]


def series_of(levels_s: Sequence[float] | FloatArray, stacks: Sequence[object]) -> Series:
    """The levels of sessions, in the order of a trend; where stacks differ, a change is likely.

    Args:
        stacks: those of the sessions, or whatever is equal where they are.
    """
    return Series(levels_s, [index for index in range(1, len(stacks)) if stacks[index] != stacks[index - 1]])


def named(session: Callable[[int], SessionLevel], found: LevelChanges) -> TrendChanges:
    """What was found in a series, by the sessions of its places."""
    ends = [(point, session(point.index - 1), session(point.index)) for point in found.points]
    return TrendChanges(
        [
            Change(point, before, since, tuple(stack_changes(before.stack, since.stack)))
            for point, before, since in ends
        ],
        [OddSession(session(one.index), one.ratio, one.newest) for one in found.odd],
    )


def _version_order(sessions: Iterable[SessionLevel]) -> tuple[SessionLevel, ...]:
    """Sessions by version of the stack, and by time within a version."""
    found = list(sessions)
    order = {session.stack.version: session.stack.order for session in found}
    found.sort(key=lambda session: (order[session.stack.version], session.started_at, session.session_id))
    return tuple(found)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """A quantile of ordered values, between two of them in proportion (numpy's takes ten times as long for a few)."""
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
