"""What is kept of every run in memory, where there are a hundred thousand of them."""

from __future__ import annotations

from statistics import median

import msgspec

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.measurement import Measurement, Run
from gaudi_perf.vocabulary.stack import Device, Stack


class RunSummary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run without what takes much room. Cases, devices, stacks and hosts are shared between summaries.

    Attributes:
        run_id: unique name of the run.
        session_id: the session that it belongs to.
        started_at: when, in UTC, for instance ``2026-01-31T23:59:59Z``.
        case: what was measured.
        device: on what.
        stack: and on which versions.
        stack_label: what the stacks' file calls the stack, side by side; else empty.
        host_class: processor and cores.
        host_load: load average over one minute when the measurement began.
        steal_percent: share of the time that the hypervisor took, in percent.
        latencies_s: every round, in seconds.
        probes_s: the reference probe around every round, in seconds.
        first_token_median_s: median time to first token, in seconds.
        per_output_token_median_s: median time per output token, in seconds.
        peak_memory_bytes: the most memory in use.
        graph_compilation_s: time spent compiling graphs, in seconds.
        warm_up_rounds: rounds before those that count.
        steady: whether they had become steady.
        problems: why the run is INVALID; empty if it is valid.
    """

    run_id: str
    session_id: str
    started_at: str
    case: Case
    device: Device
    stack: Stack
    stack_label: str
    host_class: str
    host_load: float | None
    steal_percent: float | None
    latencies_s: tuple[float, ...]
    probes_s: tuple[float, ...] | None
    first_token_median_s: float | None
    per_output_token_median_s: float | None
    peak_memory_bytes: int | None
    graph_compilation_s: float | None
    warm_up_rounds: int
    steady: bool
    problems: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether it may be judged."""
        return not self.problems

    @property
    def level_s(self) -> float:
        """The median of its rounds, in seconds."""
        return median(self.latencies_s)


class MeasurementSummary(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """The part of a summary that comes from the measurement; see ``RunSummary``."""

    latencies_s: tuple[float, ...]
    probes_s: tuple[float, ...] | None
    first_token_median_s: float | None
    per_output_token_median_s: float | None
    peak_memory_bytes: int | None
    graph_compilation_s: float | None
    warm_up_rounds: int
    steady: bool
    problems: tuple[str, ...]


def summarize_measurement(measurement: Measurement) -> MeasurementSummary:
    """What is kept of a measurement."""
    times = measurement.token_times
    compilation = measurement.graph_compilation
    return MeasurementSummary(
        latencies_s=tuple(measurement.latencies_s),
        probes_s=None if measurement.probes_s is None else tuple(measurement.probes_s),
        first_token_median_s=_median(times.first_token_s) if times else None,
        per_output_token_median_s=_median(times.per_output_token_s) if times else None,
        peak_memory_bytes=measurement.peak_memory_bytes,
        graph_compilation_s=compilation.seconds if compilation else None,
        warm_up_rounds=len(measurement.warm_up.latencies_s),
        steady=measurement.warm_up.steady,
        problems=tuple(measurement.problems),
    )


def summarize(run: Run) -> RunSummary:
    """What is kept of a run."""
    kept = summarize_measurement(run.measurement)
    return RunSummary(
        run_id=run.run_id,
        session_id=run.session_id,
        started_at=run.started_at,
        case=run.case,
        device=run.device,
        stack=run.stack,
        stack_label=run.stack_label,
        host_class=run.host.host_class,
        host_load=run.host.load,
        steal_percent=run.host.steal_percent,
        **{name: getattr(kept, name) for name in MeasurementSummary.__struct_fields__},
    )


def _median(values: list[float]) -> float | None:
    return float(median(values)) if values else None
