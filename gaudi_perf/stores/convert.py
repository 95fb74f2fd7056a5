"""From the runs that were measured to the entry of a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.vocabulary.baseline import BaselineRun, CaseBaseline
from gaudi_perf.vocabulary.measurement import Run

_DIGITS = 9
"""Decimals of a stored duration: nanoseconds, which is finer than any clock's noise."""


def baseline_run(run: Run) -> BaselineRun:
    """What a baseline keeps of a run: every round."""
    measurement = run.measurement
    times = measurement.token_times
    compilation = measurement.graph_compilation
    return BaselineRun(
        run_id=run.run_id,
        measured_at=run.started_at,
        latencies_s=_rounded(measurement.latencies_s),
        probes_s=None if measurement.probes_s is None else _rounded(measurement.probes_s),
        first_token_s=[] if times is None else _rounded(times.first_token_s),
        per_output_token_s=[] if times is None else _rounded(times.per_output_token_s),
        peak_memory_bytes=measurement.peak_memory_bytes,
        graph_compilation_s=None if compilation is None else compilation.seconds,
        earlier_cases=measurement.earlier_cases,
    )


def case_baseline(runs: Sequence[Run]) -> CaseBaseline:
    """The entry of runs that are comparable with each other, oldest first.

    Raises:
        ValueError: there are no runs, or one is there twice.
    """
    if not runs:
        raise ValueError("a baseline needs at least one run")
    ordered = sorted(runs, key=lambda run: (run.started_at, run.run_id))
    case = ordered[-1].case
    return CaseBaseline(
        configuration=case.configuration,
        workload=case.workload,
        scale=case.scale,
        weights=case.weights,
        host_class=ordered[-1].host.host_class,
        provenance="measured",
        runs=[baseline_run(run) for run in ordered],
        token_ids=list(ordered[-1].measurement.token_ids),
    )


def _rounded(seconds: Sequence[float]) -> list[float]:
    return [max(round(value, _DIGITS), 10.0**-_DIGITS) for value in seconds]
