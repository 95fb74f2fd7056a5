"""Whether NVIDIA's GPUs can be measured on: facts by NVML, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from gaudi_perf.accelerators.base import MIB, Finding, finding
from gaudi_perf.accelerators.cuda.devices import VISIBLE
from gaudi_perf.accelerators.cuda.nvml import Nvml, NvmlUnavailable

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
    """One GPU, by NVML; None where it is not reported.

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
    """The GPUs that CUDA_VISIBLE_DEVICES shows, and what NVML fails to report or why it cannot be asked."""
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


def check_gpus(gpus: Sequence[GpuFacts], why_not: str, torch: str) -> Iterator[Finding]:
    """Say what the facts mean, each with its remedy.

    Args:
        gpus: those that are shown.
        why_not: why NVML cannot be asked, or what it fails to report; empty if all is well.
        torch: the version of PyTorch, empty if it is not installed.
    """
    if not gpus:
        found = why_not or "CUDA_VISIBLE_DEVICES shows none"
        remedy = "install the driver and nvidia-ml-py (pip install -e '.[cuda]'), and look at nvidia-smi"
        yield finding("devices", "unfit", found, remedy)
        return
    if why_not:
        remedy = "see nvidia-smi and the kernel's log (Xid); a GPU that is lost needs a reset or a reboot"
        yield finding("NVML", "warning", why_not, remedy)
    names = sorted({gpu.name for gpu in gpus})
    if len(names) > 1:
        remedy = "show one kind with CUDA_VISIBLE_DEVICES"
        yield finding("devices", "warning", f"several kinds: {', '.join(names)}", remedy)
    else:
        yield finding("devices", "ok", f"{len(gpus)} x {names[0]}")
    yield _runtime(gpus[0], torch)
    yield _processes(gpus)
    yield _memory(gpus)
    yield _slowed(gpus)
    yield _persistence(gpus)
    yield _clocks(gpus)


def _runtime(gpu: GpuFacts, torch: str) -> Finding:
    check = "driver and PyTorch"
    driver = f"driver {gpu.driver} (up to CUDA {gpu.cuda})"
    if not torch:
        return finding(check, "unfit", f"{driver}; no PyTorch", "pip install -e .")
    local = torch.partition("+")[2]
    if local == "cpu":
        remedy = "install PyTorch's build for CUDA: see pytorch.org/get-started"
        return finding(check, "unfit", f"{driver}; torch {torch} is the CPU build", remedy)
    # Builds are labelled cu124, cu130; drivers of the same major version run them (CUDA's minor version compatibility).
    if local.startswith("cu") and local[2:].isdecimal() and gpu.cuda != "unknown":
        needed, offered = int(local[2:]) // 10, int(gpu.cuda.partition(".")[0])
        if needed > offered:
            remedy = f"install a driver for CUDA {needed}, or a PyTorch that is built for CUDA {offered}"
            return finding(check, "unfit", f"{driver}; torch {torch} needs newer", remedy)
    return finding(check, "ok", f"{driver}; torch {torch}")


def _processes(gpus: Sequence[GpuFacts]) -> Finding:
    busy = [f"{pid} on {gpu.index}" for gpu in gpus for pid in gpu.processes]
    if busy:
        remedy = "let them end, or measure on free GPUs (CUDA_VISIBLE_DEVICES)"
        return finding("other processes", "unfit", f"computing: {', '.join(busy[:8])}", remedy)
    return finding("other processes", "ok", "none compute on the GPUs")


def _memory(gpus: Sequence[GpuFacts]) -> Finding:
    known = [
        (gpu.index, gpu.used_bytes, gpu.total_bytes) for gpu in gpus if gpu.used_bytes is not None and gpu.total_bytes
    ]
    if not known:
        return finding("device memory", "unknown", "NVML does not tell")
    used = [f"{mine // MIB} MiB on {index}" for index, mine, total in known if mine > IDLE_SHARE * total]
    if used:
        remedy = "find who holds it: nvidia-smi on the host also lists processes of other containers"
        return finding("device memory", "warning", f"in use: {', '.join(used)}", remedy)
    free = min(total - mine for _, mine, total in known)
    return finding("device memory", "ok", f"{free // MIB} MiB free on each GPU")


def _slowed(gpus: Sequence[GpuFacts]) -> Finding:
    if all(gpu.slowed is None for gpu in gpus):
        return finding("throttling", "unknown", "NVML does not tell")
    slowed = [f"GPU {gpu.index} ({' and '.join(gpu.slowed)})" for gpu in gpus if gpu.slowed]
    if slowed:
        remedy = "cool the server, or raise the power limit: nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER"
        return finding("throttling", "unfit", ", ".join(slowed), remedy)
    return finding("throttling", "ok", "none")


def _persistence(gpus: Sequence[GpuFacts]) -> Finding:
    off = [str(gpu.index) for gpu in gpus if gpu.persistence == "off"]
    if off:
        found = f"off on {', '.join(off)}: the driver starts anew with every worker group"
        return finding("persistence", "warning", found, "sudo nvidia-smi --persistence-mode=1")
    if any(gpu.persistence for gpu in gpus):
        return finding("persistence", "ok", "on")
    return finding("persistence", "unknown", "not told")


def _clocks(gpus: Sequence[GpuFacts]) -> Finding:
    low = [
        f"{gpu.application_clock} of {gpu.largest_clock} on {gpu.index}"
        for gpu in gpus
        if gpu.application_clock and gpu.largest_clock and gpu.application_clock != gpu.largest_clock
    ]
    if low:
        remedy = "the same clocks every night are what counts: sudo nvidia-smi --lock-gpu-clocks=... fixes them"
        return finding("clocks", "ok", f"application clocks {', '.join(low)}", remedy)
    if any(gpu.largest_clock for gpu in gpus):
        return finding("clocks", "ok", f"up to {gpus[0].largest_clock}")
    return finding("clocks", "unknown", "not told")
