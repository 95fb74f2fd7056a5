"""Telemetry of Gaudi: pyhlml for the devices' instruments, hl-smi's table for processes, which pyhlml does not list."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from gaudi_perf.accelerators.base import TelemetrySource
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.hlml import opened, throttle_reasons
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample

_CLOCK_SOC, _ON_AIP = 0, 0  # hlml.h: hlml_clock_type_t, hlml_temperature_sensors_t

T = TypeVar("T")


class PyhlmlSource(TelemetrySource):
    """Gaudi, through pyhlml."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._hlml = self._open.enter_context(opened())
        count = int(self._hlml.hlmlDeviceGetCount())
        self._devices = [self._hlml.hlmlDeviceGetHandleByIndex(index) for index in range(count)]

    def sample(self) -> list[DeviceSample]:
        return [self._sample(index, device) for index, device in enumerate(self._devices)]

    def processes(self) -> list[DeviceProcess]:
        return hl_smi.processes()

    def close(self) -> None:
        self._open.close()

    def _sample(self, index: int, device: Any) -> DeviceSample:
        hlml = self._hlml
        return DeviceSample(
            device=index,
            clock_mhz=_or_none(lambda: float(hlml.hlmlDeviceGetClockInfo(device, _CLOCK_SOC))),
            temperature_c=_or_none(lambda: float(hlml.hlmlDeviceGetTemperature(device, _ON_AIP))),
            power_w=_or_none(lambda: float(hlml.hlmlDeviceGetPowerUsage(device)) / 1000),  # pyhlml gives mW
            memory_used_bytes=_or_none(lambda: int(hlml.hlmlDeviceGetMemoryInfo(device).used)),
            throttle_reasons=_or_none(lambda: throttle_reasons(hlml, device)) or [],
        )


def _or_none(read: Callable[[], T]) -> T | None:
    with contextlib.suppress(Exception):  # pyhlml's own kinds: this device does not report it
        return read()
    return None
