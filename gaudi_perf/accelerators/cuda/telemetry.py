"""Telemetry of NVIDIA GPUs, by NVML.

Which reasons for lower clocks spoil rounds: heat and the server's power brake, since they come and go with the room and
with neighbours, and can halve the clocks. Which do not: the power limit (large GPUs run at it by design, and it is a
setting that is part of the stack), application clocks and sync boost (settings, too), and idle. The power limit is
noted, for it explains a slower GPU of the same name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from gaudi_perf.accelerators.base import TelemetrySource
from gaudi_perf.accelerators.cuda.devices import VISIBLE
from gaudi_perf.accelerators.cuda.nvml import Nvml, NvmlUnavailable
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
"""Newer drivers count the nanoseconds that a reason was in force, which shows what falls between two samples. The
numbers of these fields differ between branches of the driver; elsewhere they are settings, which do not grow."""
_LEAST_SHARE = 0.001
"""Of the time since the sample before; what was in force for less, no latency shows."""
_MPS_SERVER = "nvidia-cuda-mps-server"
_VGPU = 2  # nvmlGpuVirtualizationMode_t


class NvmlSource(TelemetrySource):
    """GPUs that CUDA_VISIBLE_DEVICES shows."""

    def __init__(self) -> None:
        """Open NVML.

        Raises:
            NvmlUnavailable: it cannot be asked, or shows no GPU.
        """
        self._nvml = Nvml()
        shown = os.environ.get(VISIBLE)
        self._handles = self._nvml.handles(shown)
        if not self._handles:
            self._nvml.close()
            why = "".join(f"; {function}: {words}" for function, words in self._nvml.failures.items())
            raise NvmlUnavailable(f"NVML shows no GPU{why}")
        # Processes of other parts of a multi-instance GPU have memory and multiprocessors of their own.
        self._parts = {index: self._nvml.part(handle, shown) for index, handle in self._handles.items()}
        self._counted: dict[int, tuple[dict[str, int], int]] = {}
        self._slow: set[int] = set()
        self._served: set[int] = set()

    def sample(self) -> list[DeviceSample]:
        """Every GPU; reasons are those in force now, or for a while since the sample before."""
        ask, api = self._nvml.ask, self._nvml.api
        samples = []
        for index, handle in self._handles.items():
            milliwatts = ask("nvmlDeviceGetPowerUsage", handle)
            memory = ask("nvmlDeviceGetMemoryInfo", handle)
            reasons = self._lasting(index, self._in_force(handle)) | self._since_before(index, handle)
            samples.append(
                DeviceSample(
                    device=index,
                    clock_mhz=ask("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_SM),
                    memory_clock_mhz=ask("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_MEM),
                    temperature_c=ask("nvmlDeviceGetTemperature", handle, api.NVML_TEMPERATURE_GPU),
                    power_w=None if milliwatts is None else milliwatts / 1000,
                    memory_used_bytes=None if memory is None else int(memory.used),
                    throttle_reasons=[words for name, words in FAULTS.items() if name in reasons],
                    limits=[words for name, words in NOTED.items() if name in reasons],
                )
            )
        return samples

    def begin(self) -> None:
        for index, handle in self._handles.items():
            self._since_before(index, handle)

    def processes(self) -> list[DeviceProcess]:
        """Processes that compute on the GPUs (on our part of one that is divided), clients of an MPS server too."""
        return [process for index in self._handles for process in self._processes(index)]

    def notes(self) -> list[str]:
        found = [
            f"device {index} is a part of a multi-instance GPU, whose other parts share its clocks and its power"
            for index, part in self._parts.items()
            if part is not None
        ]
        found += [
            f"device {index} is a virtual GPU: who else computes on the same GPU is not to be seen"
            for index, handle in self._handles.items()
            if self._nvml.ask("nvmlDeviceGetVirtualizationMode", handle) == _VGPU
        ]
        found += [f"device {index} is shared by an MPS server" for index in sorted(self._served)]
        return [*found, *(f"NVML, {function}: {words}" for function, words in self._nvml.failures.items())]

    def close(self) -> None:
        self._nvml.close()

    def _processes(self, index: int) -> list[DeviceProcess]:
        handle = self._parts[index] or self._handles[index]
        listed = [
            *(self._nvml.ask("nvmlDeviceGetComputeRunningProcesses", handle) or ()),
            *(self._nvml.ask("nvmlDeviceGetMPSComputeRunningProcesses", handle) or ()),
        ]
        found: dict[int, DeviceProcess] = {}
        for process in listed:
            pid = int(process.pid)
            name = os.path.basename(str(self._nvml.ask("nvmlSystemGetProcessName", pid) or ""))
            if name.startswith(_MPS_SERVER):  # it computes for its clients, which are listed themselves
                self._served.add(index)
            elif pid > 0:  # some containers see processes without numbers
                found[pid] = DeviceProcess(device=index, pid=pid, name=name, memory_bytes=process.usedGpuMemory)
        return list(found.values())

    def _lasting(self, index: int, reasons: set[str]) -> set[str]:
        """Reasons without the hardware's where it comes alone and for the first time.

        nvml.h: it "may be also reported during PState or clock change", as at the begin of rounds. Heat and power brake
        come with reasons of their own.
        """
        slow_before = index in self._slow
        (self._slow.add if "HwSlowdown" in reasons else self._slow.discard)(index)
        alone = not reasons & {"HwThermalSlowdown", "HwPowerBrakeSlowdown"}
        return reasons - {"HwSlowdown"} if alone and not slow_before else reasons

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
        moment = time.monotonic_ns()
        (before, then), self._counted[index] = self._counted.get(index, (now, moment)), (now, moment)
        least = _LEAST_SHARE * (moment - then)
        return {name for name, count in now.items() if count - before.get(name, count) > least}
