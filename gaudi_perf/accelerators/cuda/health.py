"""What decides whether NVIDIA's GPUs can be measured on: facts by NVML, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from gaudi_perf.accelerators.cuda.devices import VISIBLE
from gaudi_perf.accelerators.cuda.nvml import Nvml, NvmlUnavailable
from gaudi_perf.accelerators.doctor.findings import Finding

MIB = 1 << 20
IDLE_SHARE = 0.02
"""What the driver may hold of a GPU's memory while nobody uses it."""
_SLOWED = {
    0x0000000000000008: "hardware slowdown",
    0x0000000000000020: "temperature (software)",
    0x0000000000000040: "temperature (hardware)",
    0x0000000000000080: "power brake",
    0x0000000000000004: "power limit",
}
"""Reasons for lower clocks that are not the driver's own choice (NVML API reference, "NvmlClocksEventReasons")."""


@dataclass(frozen=True)
class GpuFacts:
    """One GPU, by NVML; None where it does not tell.

    Attributes:
        driver: the driver's version, or ``unknown``.
        cuda: the newest CUDA that the driver can run, or ``unknown``.
        total_bytes: memory.
        used_bytes: the part in use.
        processes: ids of processes that compute on it.
        slowed: why its clocks are lowered, in words.
        persistence: ``on`` or ``off``.
        application_clock: of the streaming multiprocessors, for instance ``1410 MHz``.
        largest_clock: the most that it can be.
    """

    index: int
    name: str
    driver: str = "unknown"
    cuda: str = "unknown"
    total_bytes: int | None = None
    used_bytes: int | None = None
    processes: tuple[int, ...] = ()
    slowed: tuple[str, ...] | None = None
    persistence: str | None = None
    application_clock: str | None = None
    largest_clock: str | None = None


def gather_gpus(nvml: Nvml | None = None) -> tuple[tuple[GpuFacts, ...], str]:
    """The GPUs that CUDA_VISIBLE_DEVICES shows, and what NVML fails to tell or why it cannot be asked."""
    try:
        opened = nvml or Nvml()
    except NvmlUnavailable as error:
        return (), str(error)
    with closing(opened):
        shown = os.environ.get(VISIBLE)
        gpus = tuple(_facts(opened, index, handle, shown) for index, handle in opened.handles(shown).items())
        return gpus, "; ".join(f"{function}: {words}" for function, words in opened.failures.items())


def _facts(nvml: Nvml, index: int, handle: object, shown: str | None) -> GpuFacts:
    listed = nvml.ask("nvmlDeviceGetComputeRunningProcesses", nvml.part(handle, shown) or handle) or ()
    memory = nvml.ask("nvmlDeviceGetMemoryInfo", handle)
    reasons = nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    name = nvml.ask("nvmlDeviceGetName", handle)
    set_up = nvml.facts(str(nvml.ask("nvmlDeviceGetUUID", handle) or ""))
    return GpuFacts(
        index=index,
        name=name.decode() if isinstance(name, bytes) else str(name or "unknown"),
        driver=set_up.driver,
        cuda=set_up.cuda,
        total_bytes=None if memory is None else int(memory.total),
        used_bytes=None if memory is None else int(memory.used),
        processes=tuple(int(one.pid) for one in listed),
        slowed=None if reasons is None else tuple(words for bit, words in _SLOWED.items() if reasons & bit),
        persistence=set_up.settings.get("persistence-mode"),
        application_clock=set_up.settings.get("application-sm-clock"),
        largest_clock=set_up.settings.get("sm-clock-max"),
    )


def check_gpus(gpus: Sequence[GpuFacts], why_not: str, torch: str | None) -> Iterator[Finding]:
    """Say what the facts mean, each with its remedy.

    Args:
        gpus: those that are shown.
        why_not: why NVML cannot be asked, or what it fails to tell; empty if all is well.
        torch: the version of PyTorch, or None if it is not installed.
    """
    if not gpus:
        found = why_not or "CUDA_VISIBLE_DEVICES shows none"
        remedy = "install the driver and nvidia-ml-py (pip install -e '.[cuda]'), and look at nvidia-smi"
        yield Finding(check="devices", status="unfit", found=found, remedy=remedy)
        return
    if why_not:
        remedy = "see nvidia-smi and the kernel's log (Xid); a GPU that is lost needs a reset or a reboot"
        yield Finding(check="NVML", status="warning", found=why_not, remedy=remedy)
    names = sorted({gpu.name for gpu in gpus})
    if len(names) > 1:
        remedy = "show one kind with CUDA_VISIBLE_DEVICES"
        yield Finding(check="devices", status="warning", found=f"several kinds: {', '.join(names)}", remedy=remedy)
    else:
        yield Finding(check="devices", status="ok", found=f"{len(gpus)} x {names[0]}")
    yield _runtime(gpus[0], torch)
    yield _processes(gpus)
    yield _memory(gpus)
    yield _slowed(gpus)
    yield _persistence(gpus)
    yield _clocks(gpus)


def _runtime(gpu: GpuFacts, torch: str | None) -> Finding:
    check = "driver and PyTorch"
    driver = f"driver {gpu.driver} (up to CUDA {gpu.cuda})"
    if torch is None:
        return Finding(check=check, status="unfit", found=f"{driver}; no PyTorch", remedy="pip install -e .")
    local = torch.partition("+")[2]
    if local == "cpu":
        remedy = "install PyTorch's build for CUDA: see pytorch.org/get-started"
        return Finding(check=check, status="unfit", found=f"{driver}; torch {torch} is the CPU build", remedy=remedy)
    # Builds are labelled cu124, cu130; drivers of the same major version run them (CUDA's minor version compatibility).
    if local.startswith("cu") and local[2:].isdecimal() and gpu.cuda != "unknown":
        needed, offered = int(local[2:]) // 10, int(gpu.cuda.partition(".")[0])
        if needed > offered:
            remedy = f"install a driver for CUDA {needed}, or a PyTorch that is built for CUDA {offered}"
            return Finding(check=check, status="unfit", found=f"{driver}; torch {torch} needs newer", remedy=remedy)
    return Finding(check=check, status="ok", found=f"{driver}; torch {torch}")


def _processes(gpus: Sequence[GpuFacts]) -> Finding:
    busy = [f"{pid} on {gpu.index}" for gpu in gpus for pid in gpu.processes]
    if busy:
        remedy = "let them end, or measure on free GPUs (CUDA_VISIBLE_DEVICES)"
        return Finding(
            check="other processes", status="unfit", found=f"computing: {', '.join(busy[:8])}", remedy=remedy
        )
    return Finding(check="other processes", status="ok", found="none compute on the GPUs")


def _memory(gpus: Sequence[GpuFacts]) -> Finding:
    known = [
        (gpu.index, gpu.used_bytes, gpu.total_bytes) for gpu in gpus if gpu.used_bytes is not None and gpu.total_bytes
    ]
    if not known:
        return Finding(check="device memory", status="unknown", found="NVML does not tell")
    used = [f"{mine // MIB} MiB on {index}" for index, mine, total in known if mine > IDLE_SHARE * total]
    if used:
        remedy = "find who holds it: nvidia-smi on the host also lists processes of other containers"
        return Finding(check="device memory", status="warning", found=f"in use: {', '.join(used)}", remedy=remedy)
    free = min(total - mine for _, mine, total in known)
    return Finding(check="device memory", status="ok", found=f"{free // MIB} MiB free on each GPU")


def _slowed(gpus: Sequence[GpuFacts]) -> Finding:
    if all(gpu.slowed is None for gpu in gpus):
        return Finding(check="throttling", status="unknown", found="NVML does not tell")
    slowed = [f"GPU {gpu.index} ({' and '.join(gpu.slowed)})" for gpu in gpus if gpu.slowed]
    if slowed:
        remedy = "cool the server, or raise the power limit: nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER"
        return Finding(check="throttling", status="unfit", found=", ".join(slowed), remedy=remedy)
    return Finding(check="throttling", status="ok", found="none")


def _persistence(gpus: Sequence[GpuFacts]) -> Finding:
    off = [str(gpu.index) for gpu in gpus if gpu.persistence == "off"]
    if off:
        found = f"off on {', '.join(off)}: the driver starts anew with every worker group"
        return Finding(
            check="persistence", status="warning", found=found, remedy="sudo nvidia-smi --persistence-mode=1"
        )
    known = any(gpu.persistence for gpu in gpus)
    return Finding(check="persistence", status="ok" if known else "unknown", found="on" if known else "not told")


def _clocks(gpus: Sequence[GpuFacts]) -> Finding:
    low = [
        f"{gpu.application_clock} of {gpu.largest_clock} on {gpu.index}"
        for gpu in gpus
        if gpu.application_clock and gpu.largest_clock and gpu.application_clock != gpu.largest_clock
    ]
    if low:
        remedy = "the same clocks every night are what counts: sudo nvidia-smi --lock-gpu-clocks=... fixes them"
        return Finding(check="clocks", status="ok", found=f"application clocks {', '.join(low)}", remedy=remedy)
    told = any(gpu.largest_clock for gpu in gpus)
    found = f"up to {gpus[0].largest_clock}" if told else "not told"
    return Finding(check="clocks", status="ok" if told else "unknown", found=found)
