"""The doctor on NVIDIA's GPUs. There is none here: NVML is a pretended one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gaudi_perf.accelerators.cuda.health import GpuFacts, check_gpus, gather_gpus
from gaudi_perf.accelerators.cuda.nvml import NvmlFacts
from gaudi_perf.accelerators.health import Diagnosis, HostFacts, diagnosis
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.telemetry import DeviceProcess

GIB = 1 << 30
FIT: dict[str, Any] = {
    "index": 0,
    "product": "NVIDIA A100-SXM4-80GB",
    "driver": "550.90.07",
    "memory_bytes": 80 * GIB,
    "used_bytes": GIB // 2,
    "throttled": (),
}
SET: dict[str, str] = {"persistence-mode": "on", "application-sm-clock": "1410 MHz", "sm-clock-max": "1410 MHz"}

OFF = {"persistence-mode": "off"}
LOW = {"application-sm-clock": "1095 MHz"}


def gpu_as(set_to: dict[str, str] | None = None, **facts: Any) -> GpuFacts:
    set_up = NvmlFacts(driver="550.90.07", cuda="12.4", settings={**SET, **(set_to or {})})
    return GpuFacts(**{**FIT, "set_up": set_up, **facts})


class PretendedNvml:
    """As gaudi_perf.accelerators.cuda.nvml.Nvml, with answers of our own; what is not reported is None."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.closed = False
        self.failures: dict[str, str] = {}

    def ask(self, function: str, *arguments: Any) -> Any:
        return self.answers.get(function)

    def handles(self) -> dict[int, object]:
        return {0: "gpu"} if self.answers else {}

    def part(self, handle: object) -> None:
        return None

    def facts(self, uuid: str) -> Any:
        return SimpleNamespace(driver="550.90.07", cuda="12.4", settings={"persistence-mode": "off"})

    def close(self) -> None:
        self.closed = True


def test_what_nvml_reports_becomes_facts() -> None:
    nvml = PretendedNvml(
        nvmlDeviceGetName=b"NVIDIA A100",
        nvmlDeviceGetMemoryInfo=SimpleNamespace(total=80 * GIB, used=GIB),
        nvmlDeviceGetCurrentClocksThrottleReasons=0x40 | 0x4 | 0x1,  # 0x1 is idle, 0x4 the power limit: both are usual
        nvmlDeviceGetComputeRunningProcesses=[SimpleNamespace(pid=77)],
    )
    (gpu,), why_not = gather_gpus(nvml)  # type: ignore[arg-type]
    assert why_not == "" and nvml.closed
    assert gpu.product == "NVIDIA A100" and gpu.used_bytes == GIB and [one.pid for one in gpu.processes] == [77]
    assert gpu.throttled == ("thermal, by the hardware",) and gpu.set_up.settings["persistence-mode"] == "off"
    assert gather_gpus(PretendedNvml()) == ((), "")  # type: ignore[arg-type]
    nvml.failures["nvmlDeviceGetHandleByIndex"] = "GPU is lost"
    gpus, why_not = gather_gpus(nvml)  # type: ignore[arg-type]
    first = next(check_gpus(gpus, why_not, "2.6.0"))
    assert (first.status, first.found) == ("warning", "nvmlDeviceGetHandleByIndex: GPU is lost")


def test_a_gpu_server_as_it_should_be() -> None:
    host = HostFacts(memory_available=2**40, governors=frozenset({"performance"}), load=0.0)
    found = diagnosis("cuda", check_gpus((gpu_as(),) * 8, "", "2.6.0+cu124"), host)
    assert found.fit and found.accelerator == "cuda"
    assert {item.status for item in found.findings} <= {"ok", "unknown"}
    assert decode(encode(found), Diagnosis, "doctor") == found


@pytest.mark.parametrize(
    ("change", "torch", "check", "status", "found", "remedy"),
    [
        ({}, "", "driver and PyTorch", "unfit", "no PyTorch", "pip install"),
        ({}, "2.6.0+cpu", "driver and PyTorch", "unfit", "CPU build", "pytorch.org"),
        ({}, "2.12.0+cu130", "driver and PyTorch", "unfit", "needs newer", "driver for CUDA 13"),
        (
            {"processes": (DeviceProcess(device=0, pid=41), DeviceProcess(device=0, pid=42))},
            "2.6.0+cu124",
            "other processes",
            "unfit",
            "(41) on 0, ? (42) on 0",
            "CUDA_VISIBLE_DEVICES",
        ),
        ({"used_bytes": 9 * GIB}, "2.6.0", "device memory", "warning", "9216 MiB on 0", "nvidia-smi"),
        ({"used_bytes": None}, "2.6.0", "device memory", "unknown", "not report", ""),
        ({"throttled": ("power brake",)}, "2.6.0", "throttling", "unfit", "power brake", "PERFORMANCE"),
        ({"throttled": None}, "2.6.0", "throttling", "unknown", "not report", ""),
        (
            {"set_to": {"persistence-mode": "off"}},
            "2.6.0",
            "persistence",
            "warning",
            "off on 0",
            "--persistence-mode=1",
        ),
        (
            {"set_to": LOW},
            "2.6.0",
            "clocks",
            "ok",
            "1095 MHz of 1410 MHz",
            "lock-gpu-clocks",
        ),
    ],
)
def test_findings(change: dict[str, Any], torch: str, check: str, status: str, found: str, remedy: str) -> None:
    findings = {item.check: item for item in check_gpus([gpu_as(**change)], "", torch)}
    assert findings[check].status == status
    assert found in findings[check].found and remedy in findings[check].remedy


def test_several_kinds_and_none() -> None:
    other = gpu_as(product="NVIDIA H100")
    assert next(check_gpus([gpu_as(), other], "", "2.6.0")).status == "warning"
    (nothing,) = check_gpus([], "nvidia-ml-py is not installed", "2.6.0")
    assert nothing.status == "unfit" and "nvidia-ml-py" in nothing.remedy
