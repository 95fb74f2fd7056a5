"""What the driver of NVIDIA's GPUs tells, by NVML: settings, and readings around the rounds.

nvidia-ml-py (the ``cuda`` extra) is optional, and so is every single answer: GPUs, drivers, containers and
multi-instance GPUs leave out different ones. What is not told is None or not there; nothing raises but opening.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

_REASONS: Mapping[str, str] = {
    "SwThermalSlowdown": "too hot: the driver slowed it down",
    "HwThermalSlowdown": "too hot: the hardware slowed it down",
    "HwPowerBrakeSlowdown": "power brake of the server",
    "HwSlowdown": "hardware slowdown",
    "SwPowerCap": "power limit",
    "SyncBoost": "sync boost with other GPUs",
    "ApplicationsClocksSetting": "application clocks",
}
"""Reasons for clocks below the highest, by the constant's name after ``nvmlClocksEventReason``.

Not among them: idle, and none.
"""

INVALIDATING = ("SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "HwSlowdown")
"""Reasons that make rounds worthless: they come and go with the room, the fans and the power supply, and halve clocks.

The power limit is not among them: under load, GPUs of 700 W run at it by design, and the limit itself is a setting that
is part of the stack. Application clocks and sync boost are settings, too.
"""

_COUNTERS = {
    "SwThermalSlowdown": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN",
    "HwThermalSlowdown": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN",
    "HwPowerBrakeSlowdown": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN",
    "SwPowerCap": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP",
}


class NvmlUnavailable(Exception):
    """NVML cannot be asked; the message says why."""


@dataclass(frozen=True)
class NvmlFacts:
    """How a GPU is driven and set.

    Attributes:
        driver: the driver's version, or ``unknown``.
        cuda: the newest CUDA that the driver can run, or ``unknown``.
        settings: what the latency depends on, by name; without what is not told.
    """

    driver: str = "unknown"
    cuda: str = "unknown"
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A GPU at one moment; None for what is not told.

    Attributes:
        sm_clock_mhz: of the multiprocessors.
        memory_clock_mhz: of the memory.
        temperature_c: of the chip, in degrees Celsius.
        power_w: in watts.
        reasons: why clocks are below the highest just now, by NVML's names.
        slowed: by reason, how often or how long it has been in force since the driver was loaded (units differ).
        others: process ids on the GPU that are not this process, as far as NVML tells.
    """

    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    reasons: frozenset[str] = frozenset()
    slowed: Mapping[str, int] = field(default_factory=dict)
    others: frozenset[int] = frozenset()


class Nvml:
    """NVML's view of one GPU. Use it as a context manager."""

    def __init__(self, uuid: str = "") -> None:
        """Opens NVML.

        Args:
            uuid: of the GPU, with or without ``GPU-``; empty for the first.

        Raises:
            NvmlUnavailable: nvidia-ml-py is not installed, there is no driver, or it does not know the GPU.
        """
        try:
            import pynvml
        except ImportError:
            raise NvmlUnavailable('nvidia-ml-py is not installed: pip install -e ".[cuda]"') from None
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlUnavailable(f"NVML does not start ({error})") from None
        try:
            self._handle = self._find(uuid)
        except pynvml.NVMLError as error:
            self.close()
            raise NvmlUnavailable(f"NVML does not know the GPU {uuid or 0} ({error})") from None

    def __enter__(self) -> Nvml:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close NVML."""
        self.close()

    def close(self) -> None:
        """NVML counts how often it was opened."""
        self._ask("nvmlShutdown")

    def facts(self) -> NvmlFacts:
        """Driver and settings."""
        nvml = self._nvml
        cuda = self._ask("nvmlSystemGetCudaDriverVersion_v2")
        milliwatts = self._of("nvmlDeviceGetEnforcedPowerLimit")
        ecc, mig = self._of("nvmlDeviceGetEccMode"), self._of("nvmlDeviceGetMigMode")
        told = {
            "sm-clock-max": _mhz(self._of("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM)),
            "memory-clock-max": _mhz(self._of("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_MEM)),
            "application-sm-clock": _mhz(self._of("nvmlDeviceGetApplicationsClock", nvml.NVML_CLOCK_SM)),
            "power-limit": None if milliwatts is None else f"{milliwatts / 1000:g} W",
            "ecc": None if ecc is None else _on(ecc[0]),
            "mig": None if mig is None else _on(mig[0]),
            "persistence-mode": _on(self._of("nvmlDeviceGetPersistenceMode")),
            "vbios": self._of("nvmlDeviceGetVbiosVersion"),
        }
        return NvmlFacts(
            driver=str(self._ask("nvmlSystemGetDriverVersion") or "unknown"),
            cuda="unknown" if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            settings={name: str(value) for name, value in told.items() if value is not None},
        )

    def reading(self) -> Reading:
        """The GPU just now; takes well under a millisecond."""
        nvml = self._nvml
        milliwatts = self._of("nvmlDeviceGetPowerUsage")
        return Reading(
            sm_clock_mhz=self._of("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            memory_clock_mhz=self._of("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            temperature_c=self._of("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            power_w=None if milliwatts is None else milliwatts / 1000,
            reasons=self._reasons(),
            slowed=self._slowed(),
            others=others(
                [int(process.pid) for process in self._of("nvmlDeviceGetComputeRunningProcesses") or ()], os.getpid()
            ),
        )

    def _find(self, uuid: str) -> Any:
        if not uuid:
            return self._nvml.nvmlDeviceGetHandleByIndex(0)
        return self._nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")

    def _reasons(self) -> frozenset[str]:
        mask = self._of("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:  # drivers before 535
            mask = self._of("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
        bits = {name: getattr(self._nvml, f"nvmlClocksThrottleReason{name}", 0) for name in _REASONS}
        return frozenset(name for name, bit in bits.items() if mask & bit)

    def _slowed(self) -> dict[str, int]:
        """The counters of drivers from 550 on; empty for others."""
        fields = {name: getattr(self._nvml, constant, None) for name, constant in _COUNTERS.items()}
        known = {name: number for name, number in fields.items() if number is not None}
        values = self._of("nvmlDeviceGetFieldValues", list(known.values())) or ()
        return {
            name: int(value.value.ullVal)
            for name, value in zip(known, values, strict=False)
            if value.nvmlReturn == self._nvml.NVML_SUCCESS
        }

    def _of(self, function: str, *arguments: Any) -> Any:
        return self._ask(function, self._handle, *arguments)

    def _ask(self, function: str, *arguments: Any) -> Any:
        call: Callable[..., Any] | None = getattr(self._nvml, function, None)
        if call is None:
            return None
        try:
            return call(*arguments)
        except self._nvml.NVMLError:  # not supported, no permission, lost: all the same to us
            return None


def nvml_settings(uuid: str) -> NvmlFacts:
    """How the GPU of that UUID is driven and set, as far as NVML can be asked."""
    try:
        with Nvml(uuid) as nvml:
            return nvml.facts()
    except NvmlUnavailable:
        return NvmlFacts()


def in_words(reason: str) -> str:
    """A reason for low clocks, for people."""
    return _REASONS[reason]


def slowed_between(before: Reading, after: Reading) -> frozenset[str]:
    """Reasons that were in force between two readings: those that either saw, and those whose counters have grown."""
    grown = {name for name, value in after.slowed.items() if value > before.slowed.get(name, value)}
    return before.reasons | after.reasons | frozenset(grown)


def others(listed: list[int], own: int) -> frozenset[int]:
    """Processes on a GPU that are not ours.

    In a container NVML tells the host's process ids, among which we do not know our own: then all but one are others.
    """
    if own in listed:
        return frozenset(listed) - {own}
    return frozenset(sorted(listed)[1:])


def _mhz(clock: int | None) -> str | None:
    return None if clock is None else f"{clock} MHz"


def _on(state: int | None) -> str | None:
    return None if state is None else "on" if state else "off"
