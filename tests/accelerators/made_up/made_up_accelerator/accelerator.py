"""The controller's side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gaudi_perf.accelerators.base import Accelerator, Finding, Found, TelemetrySource
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample

if TYPE_CHECKING:
    from made_up_accelerator.engine import MadeUpEngine


class MadeUpAccelerator(Accelerator):
    """Two beads in a drawer."""

    name = "made-up"
    kind = "made-up"
    default_scale = "standin"
    telemetry = "beads"

    def find(self) -> Found:
        return Found(name="made-up-1", count=2)

    def engine(self) -> MadeUpEngine:
        from made_up_accelerator.engine import MadeUpEngine

        return MadeUpEngine()

    def telemetry_source(self) -> TelemetrySource:
        return Beads()

    def health(self) -> Iterator[Finding]:
        yield from super().health()
        yield Finding("beads", "warning", "one is stuck", "oil the rod")


class Beads(TelemetrySource):
    def sample(self) -> list[DeviceSample]:
        return [DeviceSample(device=0, temperature_c=20.0)]

    def processes(self) -> list[DeviceProcess]:
        return [DeviceProcess(device=0, pid=os.getppid(), name="somebody")]
