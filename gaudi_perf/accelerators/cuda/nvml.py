"""What the driver of NVIDIA's GPUs reports, by NVML.

nvidia-ml-py (the ``cuda`` extra) is optional, and so is every single answer: GPUs, drivers, containers and
multi-instance GPUs leave out different ones. What is not reported is None or missing; only opening raises. Errors that
mean more than "not supported" (a GPU is lost, an unknown error) are kept, to be reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from gaudi_perf.accelerators.cuda.devices import part_named, visible

VGPU = "vgpu"
_VIRTUALIZATION = {1: "passed through", 2: VGPU}
"""nvmlGpuVirtualizationMode_t of a guest."""
_SW_POWER_CAP, HW_SLOWDOWN, _SYNC_BOOST, _SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x4, 0x8, 0x10, 0x20, 0x40, 0x80
FAULTS: Mapping[int, str] = {
    _SW_THERMAL: "thermal, by the driver",
    HW_THERMAL: "thermal, by the hardware",
    POWER_BRAKE: "power brake",
    HW_SLOWDOWN: "hardware slowdown",
}
"""Reasons for lower clocks that spoil rounds, by their bits in nvml.h (nvmlClocksEventReasons): heat and the server's
power brake, since they come and go with the room and with neighbours, and can halve the clocks."""
NOTED: Mapping[int, str] = {_SW_POWER_CAP: "power limit", _SYNC_BOOST: "sync boost"}
"""Reasons that do not, but explain a slower GPU of the same name: large GPUs run at the power limit by design, and both
are settings, which are part of the stack. Application clocks (a setting, too) and idle are no matter."""
COUNTERS = {
    _SW_THERMAL: "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN",
    HW_THERMAL: "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN",
    POWER_BRAKE: "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN",
    _SW_POWER_CAP: "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP",
}
"""Newer drivers count the nanoseconds that a reason was in force, which shows what falls between two samples. The
numbers of these fields differ between branches of the driver; elsewhere they are settings, which do not grow."""
_EXPECTED = (
    *("NOT_SUPPORTED", "VGPU_ECC_NOT_SUPPORTED", "INVALID_ARGUMENT", "NO_PERMISSION", "NOT_FOUND", "NO_DATA"),
    *("FUNCTION_NOT_FOUND", "ARGUMENT_VERSION_MISMATCH", "DEPRECATED"),
)
"""Errors of GPUs, drivers and containers that are well, of other releases of them, and of processes that have ended."""


class NvmlUnavailable(Exception):
    """NVML cannot be asked; the message says why."""


@dataclass(frozen=True)
class NvmlFacts:
    """How a GPU is driven and set: the newest CUDA that the driver can run, what the latency depends on, by name, and
    how many of its NVLinks are up. What is not reported is None or not there.
    """

    driver: str = "unknown"
    cuda: str = "unknown"
    settings: Mapping[str, str] = field(default_factory=dict)
    nvlinks: int | None = None


class Nvml:
    """NVML, opened. ``api`` is the module pynvml."""

    def __init__(self) -> None:
        """Raises NvmlUnavailable if nvidia-ml-py is not installed, or there is no driver."""
        try:
            import pynvml
        except ImportError:
            raise NvmlUnavailable('nvidia-ml-py is not installed: pip install -e ".[cuda]"') from None
        self.api: Any = pynvml
        self.failures: dict[str, str] = {}
        """What failed although it is to be had, by function: NVML's words."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlUnavailable(f"NVML does not start: {error}") from None

    def close(self) -> None:
        """Close it; NVML counts how often it was opened."""
        self.ask("nvmlShutdown")

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a function of pynvml; None where it is not there, not supported, not permitted, or the GPU is lost."""
        call: Callable[..., Any] | None = getattr(self.api, function, None)
        if call is None:
            return None
        try:
            return call(*arguments)
        except self.api.NVMLError as error:
            if getattr(error, "value", None) not in {getattr(self.api, f"NVML_ERROR_{name}", -1) for name in _EXPECTED}:
                self.failures[function] = str(error)
        except (ValueError, TypeError) as error:  # a name that is no text; arguments that another release knows
            self.failures[function] = f"{type(error).__name__}: {error}"
        return None

    def handles(self) -> dict[int, Any]:
        """The GPUs that CUDA_VISIBLE_DEVICES shows, by index; a part of a multi-instance GPU stands for its GPU."""
        if uuid := part_named():
            part = self.ask("nvmlDeviceGetHandleByUUID", uuid)
            whole = None if part is None else self.ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", part)
            index = None if whole is None else self.ask("nvmlDeviceGetIndex", whole)
            return {} if index is None else {int(index): whole}
        found = [
            (str(index), str(self.ask("nvmlDeviceGetUUID", handle) or ""), handle)
            for index in range(self.ask("nvmlDeviceGetCount") or 0)
            if (handle := self.ask("nvmlDeviceGetHandleByIndex", index)) is not None
        ]
        return {int(index): handle for index, _, handle in visible(found)}

    def part(self, handle: Any) -> Any:
        """The part of a multi-instance GPU that CUDA computes on (the first where CUDA_VISIBLE_DEVICES names none), or
        None where the GPU is not divided.
        """
        if uuid := part_named():
            return self.ask("nvmlDeviceGetHandleByUUID", uuid)
        mode = self.ask("nvmlDeviceGetMigMode", handle)
        if not mode or not mode[0]:
            return None
        numbers = range(self.ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0)
        parts = (self.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, number) for number in numbers)
        return next((part for part in parts if part is not None), None)

    def facts(self, uuid: str) -> NvmlFacts:
        """Driver and settings of the GPU of that UUID, with or without ``GPU-``; of the first if it is empty."""
        cuda = self.ask("nvmlSystemGetCudaDriverVersion_v2")
        if uuid:
            handle = self.ask("nvmlDeviceGetHandleByUUID", uuid if "-" in uuid[:4] else f"GPU-{uuid}")
        else:
            handle = self.ask("nvmlDeviceGetHandleByIndex", 0)
        return NvmlFacts(
            driver=str(self.ask("nvmlSystemGetDriverVersion") or "unknown"),
            cuda="unknown" if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            settings={} if handle is None else self._settings(handle),
            nvlinks=None if handle is None else self._nvlinks(handle),
        )

    def virtualization(self, handle: Any) -> str | None:
        """How a guest has the GPU, None where it is no guest's."""
        return _VIRTUALIZATION.get(self.ask("nvmlDeviceGetVirtualizationMode", handle))

    def _nvlinks(self, handle: Any) -> int | None:
        links = range(getattr(self.api, "NVML_NVLINK_MAX_LINKS", 0))
        states = [self.ask("nvmlDeviceGetNvLinkState", handle, link) for link in links]
        known = [state for state in states if state is not None]
        return sum(1 for state in known if state) if known else None

    def _settings(self, handle: Any) -> dict[str, str]:
        api = self.api
        milliwatts = self.ask("nvmlDeviceGetEnforcedPowerLimit", handle)
        ecc, mig = self.ask("nvmlDeviceGetEccMode", handle), self.ask("nvmlDeviceGetMigMode", handle)
        settings = {
            "sm-clock-max": _mhz(self.ask("nvmlDeviceGetMaxClockInfo", handle, api.NVML_CLOCK_SM)),
            "memory-clock-max": _mhz(self.ask("nvmlDeviceGetMaxClockInfo", handle, api.NVML_CLOCK_MEM)),
            "application-sm-clock": _mhz(self.ask("nvmlDeviceGetApplicationsClock", handle, api.NVML_CLOCK_SM)),
            "power-limit": None if milliwatts is None else f"{milliwatts / 1000:g} W",
            "ecc": None if ecc is None else _on(ecc[0]),
            "mig": None if mig is None else _on(mig[0]),
            "persistence-mode": _on(self.ask("nvmlDeviceGetPersistenceMode", handle)),
            "vbios": self.ask("nvmlDeviceGetVbiosVersion", handle),
            "virtualization": self.virtualization(handle),
        }
        return {name: str(value) for name, value in settings.items() if value is not None}


def nvml_facts(uuid: str) -> NvmlFacts:
    """How the GPU of that UUID is driven and set, as far as NVML can be asked."""
    try:
        nvml = Nvml()
    except NvmlUnavailable:
        return NvmlFacts()
    with closing(nvml):
        return nvml.facts(uuid)


def reasons_in_force(nvml: Nvml, handle: Any) -> int | None:
    """The bits of the reasons for which a GPU's clocks are lower than they could be, now."""
    mask = nvml.ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if mask is None:  # drivers before 535
        mask = nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    return None if mask is None else int(mask)


def _mhz(clock: int | None) -> str | None:
    return None if clock is None else f"{clock} MHz"


def _on(state: int | None) -> str | None:
    return None if state is None else "on" if state else "off"
