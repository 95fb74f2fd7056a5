"""Whether NVIDIA's GPUs can be measured on: facts by NVML, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from gaudi_perf.accelerators.base import Finding
from gaudi_perf.accelerators.cuda.nvml import FAULTS, Nvml, NvmlFacts, NvmlUnavailable, reasons_in_force
from gaudi_perf.accelerators.health import DeviceFacts, Vendor, check_idle, check_products
from gaudi_perf.vocabulary.telemetry import DeviceProcess

_NVIDIA = Vendor(
    program="nvidia-smi",
    library="NVML",
    install="see nvidia-smi -q -d PERFORMANCE",
    visible="CUDA_VISIBLE_DEVICES",
    idle_share=0.02,
    throttling="nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER",
)


@dataclass(frozen=True)
class GpuFacts(DeviceFacts):
    """One GPU, and how it is driven and set, by NVML."""

    set_up: NvmlFacts = field(default_factory=NvmlFacts)


def gather_gpus(nvml: Nvml | None = None) -> tuple[tuple[GpuFacts, ...], str]:
    """The GPUs that CUDA_VISIBLE_DEVICES shows, and what NVML fails to report or why it cannot be asked."""
    try:
        opened = nvml or Nvml()
    except NvmlUnavailable as error:
        return (), str(error)
    with closing(opened):
        gpus = tuple(_facts(opened, index, handle) for index, handle in opened.handles().items())
        return gpus, "; ".join(f"{function}: {words}" for function, words in opened.failures.items())


def _facts(nvml: Nvml, index: int, handle: object) -> GpuFacts:
    listed = nvml.ask("nvmlDeviceGetComputeRunningProcesses", nvml.part(handle) or handle) or ()
    memory = nvml.ask("nvmlDeviceGetMemoryInfo", handle)
    reasons = reasons_in_force(nvml, handle)
    name = nvml.ask("nvmlDeviceGetName", handle)
    set_up = nvml.facts(str(nvml.ask("nvmlDeviceGetUUID", handle) or ""))
    return GpuFacts(
        index=index,
        product=name.decode() if isinstance(name, bytes) else str(name or "unknown"),
        memory_bytes=None if memory is None else int(memory.total),
        used_bytes=None if memory is None else int(memory.used),
        processes=tuple(DeviceProcess(device=index, pid=int(one.pid)) for one in listed),
        throttled=None if reasons is None else tuple(words for bit, words in FAULTS.items() if reasons & bit),
        set_up=set_up,
    )


def check_gpus(gpus: Sequence[GpuFacts], why_not: str, torch: str) -> Iterator[Finding]:
    """Say what the facts mean (``gather_gpus``, and PyTorch's version if it is installed), each with its remedy."""
    if not gpus:
        found = why_not or "CUDA_VISIBLE_DEVICES shows none"
        remedy = "install the driver and nvidia-ml-py (pip install -e '.[cuda]'), and look at nvidia-smi"
        yield Finding("devices", "unfit", found, remedy)
        return
    if why_not:
        remedy = "see nvidia-smi and the kernel's log (Xid); a GPU that is lost needs a reset or a reboot"
        yield Finding("NVML", "warning", why_not, remedy)
    yield check_products(gpus, _NVIDIA)
    yield _runtime(gpus[0], torch)
    yield from check_idle(gpus, _NVIDIA)
    settings = [gpu.set_up.settings for gpu in gpus]
    persistence = [one.get("persistence-mode") for one in settings]
    off = [str(gpu.index) for gpu, mode in zip(gpus, persistence, strict=True) if mode == "off"]
    if off:
        found = f"off on {', '.join(off)}: the driver starts anew with every worker group"
        yield Finding("persistence", "warning", found, "sudo nvidia-smi --persistence-mode=1")
    elif any(persistence):
        yield Finding("persistence", "ok", "on")
    else:
        yield Finding("persistence", "unknown", "not reported")
    clocks = [(one.get("application-sm-clock"), one.get("sm-clock-max")) for one in settings]
    low = [
        f"{chosen} of {largest} on {gpu.index}"
        for gpu, (chosen, largest) in zip(gpus, clocks, strict=True)
        if chosen and largest and chosen != largest
    ]
    if low:
        remedy = "the same clocks in every session are what counts: sudo nvidia-smi --lock-gpu-clocks=... fixes them"
        yield Finding("clocks", "ok", f"application clocks {', '.join(low)}", remedy)
    elif any(largest for _, largest in clocks):
        yield Finding("clocks", "ok", f"up to {clocks[0][1]}")
    else:
        yield Finding("clocks", "unknown", "not reported")


def _runtime(gpu: GpuFacts, torch: str) -> Finding:
    check = "driver and PyTorch"
    driver = f"driver {gpu.set_up.driver} (up to CUDA {gpu.set_up.cuda})"
    if not torch:
        return Finding(check, "unfit", f"{driver}; no PyTorch", "pip install -e .")
    local = torch.partition("+")[2]
    if local == "cpu":
        remedy = "install PyTorch's build for CUDA: see pytorch.org/get-started"
        return Finding(check, "unfit", f"{driver}; torch {torch} is the CPU build", remedy)
    # Builds are labelled cu124, cu130; drivers of the same major version run them (CUDA's minor version compatibility).
    if local.startswith("cu") and local[2:].isdecimal() and gpu.set_up.cuda != "unknown":
        needed, offered = int(local[2:]) // 10, int(gpu.set_up.cuda.partition(".")[0])
        if needed > offered:
            remedy = f"install a driver for CUDA {needed}, or a PyTorch that is built for CUDA {offered}"
            return Finding(check, "unfit", f"{driver}; torch {torch} needs newer", remedy)
    return Finding(check, "ok", f"{driver}; torch {torch}")
