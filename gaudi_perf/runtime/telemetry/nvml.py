"""Telemetry of NVIDIA GPUs, by NVML.

Which reasons for lower clocks spoil rounds: heat and the server's power brake, since they come and go with the room and
with neighbours, and can halve the clocks. Which do not: the power limit (large GPUs run at it by design, and it is a
setting that is part of the stack), application clocks and sync boost (settings, too), and idle. The power limit is
noted, for it explains a slower GPU of the same name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gaudi_perf.runtime.nvml import Nvml, NvmlUnavailable
from gaudi_perf.runtime.telemetry.base import TelemetrySource
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample

FAULTS: Mapping[str, str] = {
    "SwThermalSlowdown": "thermal, by the driver",
    "HwThermalSlowdown": "thermal, by the hardware",
    "HwPowerBrakeSlowdown": "power brake",
    "HwSlowdown": "hardware slowdown",
}
"""By the constant's name after ``nvmlClocksThrottleReason``: reasons that spoil rounds."""
NOTED: Mapping[str, str] = {"SwPowerCap": "power limit", "SyncBoost": "sync boost"}

_COUNTERS = {
    "SwThermalSlowdown": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN",
    "HwThermalSlowdown": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN",
    "HwPowerBrakeSlowdown": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN",
    "SwPowerCap": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP",
}
"""Newer drivers count the time that a reason was in force, which tells of what falls between two samples."""


class NvmlSource(TelemetrySource):
    """GPUs that CUDA_VISIBLE_DEVICES shows."""

    name = "nvml"

    def __init__(self) -> None:
        """Open NVML.

        Raises:
            NvmlUnavailable: it cannot be asked, or shows no GPU.
        """
        self._nvml = Nvml()
        self._handles = self._nvml.handles(os.environ.get("CUDA_VISIBLE_DEVICES"))
        if not self._handles:
            self._nvml.close()
            raise NvmlUnavailable("NVML shows no GPU")
        self._counted: dict[int, dict[str, int]] = {}

    def sample(self) -> list[DeviceSample]:
        """Every GPU; reasons are those in force now, or at any time since the sample before."""
        return [self._sample(index, handle) for index, handle in self._handles.items()]

    def processes(self) -> list[DeviceProcess]:
        """Processes that compute on the GPUs."""
        return [
            DeviceProcess(
                device=index,
                pid=int(process.pid),
                name=os.path.basename(str(self._nvml.ask("nvmlSystemGetProcessName", process.pid) or "")),
                memory_bytes=process.usedGpuMemory,
            )
            for index, handle in self._handles.items()
            for process in self._nvml.ask("nvmlDeviceGetComputeRunningProcesses", handle) or ()
        ]

    def close(self) -> None:
        """Close NVML."""
        self._nvml.close()

    def _sample(self, index: int, handle: Any) -> DeviceSample:
        ask, api = self._nvml.ask, self._nvml.api
        clock = ask("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_SM)
        memory_clock = ask("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_MEM)
        temperature = ask("nvmlDeviceGetTemperature", handle, api.NVML_TEMPERATURE_GPU)
        milliwatts = ask("nvmlDeviceGetPowerUsage", handle)
        memory = ask("nvmlDeviceGetMemoryInfo", handle)
        reasons = self._in_force(handle) | self._since_before(index, handle)
        return DeviceSample(
            device=index,
            clock_mhz=None if clock is None else float(clock),
            memory_clock_mhz=None if memory_clock is None else float(memory_clock),
            temperature_c=None if temperature is None else float(temperature),
            power_w=None if milliwatts is None else milliwatts / 1000,
            memory_used_bytes=None if memory is None else int(memory.used),
            throttle_reasons=[words for name, words in FAULTS.items() if name in reasons],
            limits=[words for name, words in NOTED.items() if name in reasons],
        )

    def _in_force(self, handle: Any) -> set[str]:
        mask = self._nvml.ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
        if mask is None:  # drivers before 535
            mask = self._nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle) or 0
        return {
            name for name in (*FAULTS, *NOTED) if mask & getattr(self._nvml.api, f"nvmlClocksThrottleReason{name}", 0)
        }

    def _since_before(self, index: int, handle: Any) -> set[str]:
        fields = {name: getattr(self._nvml.api, constant, None) for name, constant in _COUNTERS.items()}
        known = {name: number for name, number in fields.items() if number is not None}
        values = self._nvml.ask("nvmlDeviceGetFieldValues", handle, list(known.values())) or ()
        now = {
            name: int(value.value.ullVal)
            for name, value in zip(known, values, strict=False)
            if value.nvmlReturn == self._nvml.api.NVML_SUCCESS
        }
        before, self._counted[index] = self._counted.get(index, now), now
        return {name for name, count in now.items() if count > before.get(name, count)}
