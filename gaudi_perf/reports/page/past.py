"""Nights: what earlier sessions measured of a case, read quickly from the results directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from gaudi_perf.stores.history import read_history
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.summary import RunSummary


@dataclass(frozen=True)
class Night:
    """What one session measured of a case.

    Attributes:
        at: when it started.
        level_s: median over runs of each run's median latency.
        low_s: lower quartile of all rounds.
        high_s: upper quartile.
        valid: whether it may be judged.
        runs: its runs.
    """

    session_id: str
    at: datetime
    stack: Stack
    level_s: float
    low_s: float
    high_s: float
    valid: bool
    runs: tuple[RunSummary, ...] = ()


Key = tuple[object, ...]
"""What must be equal for nights to be of one trend."""


def key_of(case: Case, device: Device, host_class: str) -> Key:
    """The trend that a run belongs to."""
    workload = case.workload
    return (
        case.id,
        case.scale,
        case.weights,
        workload.prompt,
        workload.prompt_tokens,
        workload.new_tokens,
        workload.batch_size,
        workload.dtype,
        device.name,
        host_class,
    )


def past_runs(directory: Path) -> tuple[list[RunSummary], int]:
    """All runs under a results directory, and how many documents could not be read."""
    read = read_history(directory)
    return list(read.runs), len(read.problems)


def nights(runs: Sequence[RunSummary]) -> dict[Key, list[Night]]:
    """The nights of every trend, oldest first. A night on two stacks counts twice."""
    grouped: dict[tuple[Key, str, str], list[RunSummary]] = {}
    for run in runs:
        key = key_of(run.case, run.device, run.host_class)
        grouped.setdefault((key, run.session_id, run.stack.name), []).append(run)
    found: dict[Key, list[Night]] = {}
    for (key, session_id, _), group in grouped.items():
        found.setdefault(key, []).append(_night(session_id, group))
    for series in found.values():
        series.sort(key=lambda night: (night.at, night.session_id))
    return found


def _night(session_id: str, runs: Sequence[RunSummary]) -> Night:
    rounds = sorted(latency for run in runs for latency in run.latencies_s)
    last = len(rounds) - 1
    return Night(
        session_id=session_id,
        at=_time(min(run.started_at for run in runs)),
        stack=runs[0].stack,
        level_s=median(median(run.latencies_s) for run in runs),
        low_s=rounds[last // 4],
        high_s=rounds[last - last // 4],
        valid=all(run.steady and run.valid for run in runs),
        runs=tuple(runs),
    )


def _time(text: str) -> datetime:
    """Documents write times as ``2026-01-31T23:59:59[.123]Z``; Python 3.10 reads them without fractions and the Z."""
    try:
        return datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")
