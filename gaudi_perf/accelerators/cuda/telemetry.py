"""Telemetry of NVIDIA GPUs, by NVML."""

from __future__ import annotations

import os
import time
from typing import Any

from gaudi_perf.accelerators.base import TelemetrySource
from gaudi_perf.accelerators.cuda import nvml
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample

_LEAST_SHARE = 0.001
"""Of the time since the sample before; what was in force for less, no latency shows."""
_MPS_SERVER = "nvidia-cuda-mps-server"


class NvmlSource(TelemetrySource):
    """GPUs that CUDA_VISIBLE_DEVICES shows."""

    def __init__(self) -> None:
        """Raises nvml.NvmlUnavailable where NVML cannot be asked, or shows no GPU."""
        self._nvml = nvml.Nvml()
        self._handles = self._nvml.handles()
        if not self._handles:
            self._nvml.close()
            why = "".join(f"; {function}: {words}" for function, words in self._nvml.failures.items())
            raise nvml.NvmlUnavailable(f"NVML shows no GPU{why}")
        # Processes of other parts of a multi-instance GPU have memory and multiprocessors of their own.
        self._parts = {index: self._nvml.part(handle) for index, handle in self._handles.items()}
        self._counted: dict[int, tuple[dict[int, int], int]] = {}
        self._slow: set[int] = set()
        self._served: set[int] = set()

    def sample(self) -> list[DeviceSample]:
        """Every GPU; reasons are those in force now, or for a while since the sample before."""
        ask, api = self._nvml.ask, self._nvml.api
        samples = []
        for index, handle in self._handles.items():
            milliwatts = ask("nvmlDeviceGetPowerUsage", handle)
            memory = ask("nvmlDeviceGetMemoryInfo", handle)
            now = self._lasting(index, nvml.reasons_in_force(self._nvml, handle) or 0)
            reasons = now | self._since_before(index, handle)
            samples.append(
                DeviceSample(
                    device=index,
                    clock_mhz=ask("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_SM),
                    memory_clock_mhz=ask("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_MEM),
                    temperature_c=ask("nvmlDeviceGetTemperature", handle, api.NVML_TEMPERATURE_GPU),
                    power_w=None if milliwatts is None else milliwatts / 1000,
                    memory_used_bytes=None if memory is None else int(memory.used),
                    throttle_reasons=[words for bit, words in nvml.FAULTS.items() if bit & reasons],
                    limits=[words for bit, words in nvml.NOTED.items() if bit & reasons],
                )
            )
        return samples

    def begin(self) -> None:
        for index, handle in self._handles.items():
            self._since_before(index, handle)

    def processes(self) -> list[DeviceProcess]:
        """Processes that compute on the GPUs (on our part of one that is divided), clients of an MPS server too."""
        found: dict[tuple[int, int], DeviceProcess] = {}
        for index, whole in self._handles.items():
            handle = self._parts[index] or whole
            for function in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses"):
                for process in self._nvml.ask(function, handle) or ():
                    pid, memory = int(process.pid), process.usedGpuMemory
                    name = os.path.basename(str(self._nvml.ask("nvmlSystemGetProcessName", pid) or ""))
                    if name.startswith(_MPS_SERVER):  # it computes for its clients, which are listed themselves
                        self._served.add(index)
                    elif pid > 0:  # some containers see processes without numbers
                        found[index, pid] = DeviceProcess(device=index, pid=pid, name=name, memory_bytes=memory)
        return list(found.values())

    def notes(self) -> list[str]:
        found = [
            f"device {index} is a part of a multi-instance GPU, whose other parts share its clocks and its power"
            for index, part in self._parts.items()
            if part is not None
        ]
        found += [
            f"device {index} is a virtual GPU: who else computes on the same GPU is not to be seen"
            for index, handle in self._handles.items()
            if self._nvml.virtualization(handle) == nvml.VGPU
        ]
        found += [f"device {index} is shared by an MPS server" for index in sorted(self._served)]
        return [*found, *(f"NVML, {function}: {words}" for function, words in self._nvml.failures.items())]

    def close(self) -> None:
        self._nvml.close()

    def _lasting(self, index: int, reasons: int) -> int:
        """Reasons without the hardware's where it comes alone and for the first time.

        nvml.h: it "may be also reported during PState or clock change", as at the begin of rounds. Heat and power brake
        come with reasons of their own.
        """
        slow_before = index in self._slow
        (self._slow.add if nvml.HW_SLOWDOWN & reasons else self._slow.discard)(index)
        return reasons if slow_before or reasons & (nvml.HW_THERMAL | nvml.POWER_BRAKE) else reasons & ~nvml.HW_SLOWDOWN

    def _since_before(self, index: int, handle: Any) -> int:
        api = self._nvml.api
        known = {bit: getattr(api, field) for bit, field in nvml.COUNTERS.items() if hasattr(api, field)}
        values = self._nvml.ask("nvmlDeviceGetFieldValues", handle, list(known.values())) or ()
        now = {
            bit: int(value.value.ullVal)
            for bit, value in zip(known, values, strict=False)
            if value.nvmlReturn == api.NVML_SUCCESS
        }
        moment = time.monotonic_ns()
        (before, then), self._counted[index] = self._counted.get(index, (now, moment)), (now, moment)
        least = _LEAST_SHARE * (moment - then)
        return sum(bit for bit, count in now.items() if count - before.get(bit, count) > least)
