"""Trends: what was measured of a case, version by version and night by night, and where its level changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from gaudi_perf.statistics.change_points import ChangePoint, change_points
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.stack import Device, Stack, stack_changes
from gaudi_perf.vocabulary.summary import RunSummary


@dataclass(frozen=True)
class TrendNight:
    """What one session measured of a case on one stack.

    Attributes:
        session_id: the session.
        started_at: when its first run of the case began, in UTC.
        stack: the stack.
        runs: its runs that can be judged.
    """

    session_id: str
    started_at: str
    stack: Stack
    runs: tuple[RunSummary, ...] = field(repr=False)

    @property
    def level_s(self) -> float:
        """Median over its runs of each run's median latency, in seconds."""
        return median(run.level_s for run in self.runs)

    @property
    def samples(self) -> list[RunSample]:
        """Its runs as numbers."""
        return [sample_of(run) for run in self.runs]


@dataclass(frozen=True)
class Trend:
    """The nights of a case: by version of the stack, and by time within a version.

    One night can measure several releases, so that time alone is no order in which levels follow each other.
    """

    case: Case
    device: Device
    host_class: str
    nights: tuple[TrendNight, ...]


@dataclass(frozen=True)
class Change:
    """A change of level, and what changed in the stack there.

    Attributes:
        point: the change.
        before: the last night of the old level.
        since: the first night of the new one.
        stack_changes: what differs between their stacks, as ``driver 1.22.0 -> 1.23.0``; empty if nothing that is
            recorded did.
    """

    point: ChangePoint
    before: TrendNight
    since: TrendNight
    stack_changes: tuple[str, ...]


def sample_of(run: RunSummary) -> RunSample:
    """A run as numbers."""
    return RunSample(
        rounds=np.asarray(run.latencies_s, dtype=np.float64),
        probes=None if run.probes_s is None else np.asarray(run.probes_s, dtype=np.float64),
        session=run.session_id,
    )


def trends(runs: Iterable[RunSummary]) -> list[Trend]:
    """Put runs together that may be compared; INVALID ones and those that never became steady are left out."""
    groups: dict[tuple[object, ...], dict[tuple[str, str, str], list[RunSummary]]] = {}
    for run in runs:
        if run.valid and run.steady:
            key = (id(run.case), run.device.name, run.stack.kind, run.host_class)
            night = (run.session_id, run.stack.name, run.stack_label)
            groups.setdefault(key, {}).setdefault(night, []).append(run)
    merged: dict[tuple[object, ...], dict[tuple[str, str, str], list[RunSummary]]] = {}
    for nights in groups.values():  # shared cases are mostly, not always, one object
        first = next(iter(nights.values()))[0]
        case = first.case
        same: tuple[object, ...] = (
            *(first.device.name, first.stack.kind, first.host_class, case.id, case.scale, case.weights),
            *(case.workload.prompt, case.workload.prompt_tokens, case.workload.new_tokens),
            *(case.workload.batch_size, case.workload.dtype),
        )
        into = merged.setdefault(same, {})
        for night, those in nights.items():
            into.setdefault(night, []).extend(those)
    found = [_trend(nights) for nights in merged.values()]
    return sorted(found, key=lambda trend: (trend.device.name, trend.case.id, trend.host_class))


def changes_of(trend: Trend, *, tolerance: float = 0.05) -> list[Change]:
    """The changes of level of a trend, in the order of its nights.

    Args:
        trend: the nights.
        tolerance: the slowdown that nobody minds, 0.05 for 5 %.
    """
    nights = trend.nights
    suspects = [index for index in range(1, len(nights)) if nights[index].stack != nights[index - 1].stack]
    points = change_points(
        [night.level_s for night in nights],
        lambda index: nights[index].samples,
        suspects=suspects,
        tolerance=tolerance,
    )
    return [
        Change(
            point,
            nights[point.index - 1],
            nights[point.index],
            tuple(stack_changes(nights[point.index - 1].stack, nights[point.index].stack)),
        )
        for point in points
    ]


def _trend(nights: dict[tuple[str, str, str], list[RunSummary]]) -> Trend:
    found = [
        TrendNight(runs[0].session_id, min(run.started_at for run in runs), runs[0].stack, tuple(runs))
        for runs in nights.values()
    ]
    order = {stack.version: stack.order for stack in {night.stack.version: night.stack for night in found}.values()}
    found.sort(key=lambda night: (order[night.stack.version], night.started_at, night.session_id))
    first = found[0].runs[0]
    return Trend(first.case, first.device, first.host_class, tuple(found))
