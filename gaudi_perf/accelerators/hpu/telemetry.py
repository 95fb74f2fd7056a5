"""Telemetry of Gaudi: pyhlml for the devices' instruments, hl-smi's table for processes, which pyhlml does not list."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gaudi_perf.accelerators.base import TelemetrySource
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample

# hlml.h: hlml_clock_type_t, hlml_temperature_sensors_t, HLML_CLOCKS_THROTTLE_REASON_*
_CLOCK_SOC, _ON_AIP = 0, 0
_POWER, _THERMAL = 1 << 0, 1 << 1

T = TypeVar("T")


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """The module pyhlml, which is optional everywhere, with the driver's library opened, and closed at the end.
    Raises ImportError, or what pyhlml raises where the driver's library is not there.
    """
    # pyhlml warns of its own renamings, and prints where the library is not there.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import pyhlml

        pyhlml.hlmlInit()
    try:
        yield pyhlml
    finally:
        with contextlib.suppress(Exception):
            pyhlml.hlmlShutdown()


def throttle_reasons(hlml: Any, device: Any) -> list[str]:
    """Why a device runs slower than it could; empty if it does not.
    Raises what pyhlml raises where the device does not report it.
    """
    mask = int(hlml.hlmlDeviceGetCurrentClocksThrottleReasons(device))
    return [name for bit, name in ((_POWER, "power"), (_THERMAL, "thermal")) if mask & bit]


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
