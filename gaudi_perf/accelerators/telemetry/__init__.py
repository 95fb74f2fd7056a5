"""Telemetry of the devices. Everything here is optional: where there is no source, a run has no telemetry.

It is read by a process of its own beside the worker (``sampler``), not by a thread of the worker: the generation is
largely Python, and a thread would take the interpreter from it. The controller tells that process when the timed rounds
begin and end (``watch``), and holds what it told against the processes of the group (``findings``).

A source is one file here, a line in ``source_named``, and its name as ``Accelerator.telemetry``.
"""

from __future__ import annotations

from gaudi_perf.accelerators.telemetry.base import TelemetrySource


def source_named(name: str) -> TelemetrySource:
    """The source of that name, opened.

    Raises:
        Exception: of any kind, where it is not there: no library, no driver, no such source.
    """
    if name == "pyhlml":
        from gaudi_perf.accelerators.hpu.telemetry import PyhlmlSource

        return PyhlmlSource()
    if name == "nvml":
        from gaudi_perf.accelerators.cuda.telemetry import NvmlSource

        return NvmlSource()
    raise LookupError(f"there is no source of telemetry called {name!r}")
