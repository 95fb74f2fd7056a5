"""Facts of this machine that decide whether it can measure."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from gaudi_perf.accelerators.cuda.health import GpuFacts, gather_gpus
from gaudi_perf.accelerators.host import HostWatch
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.hlml import opened, throttle_reasons
from gaudi_perf.accelerators.hpu.matching import PLUGIN
from gaudi_perf.vocabulary.telemetry import DeviceProcess

COMPONENTS = (PLUGIN, "optimum-habana", "torch", "transformers", "deepspeed")
STEAL_SECONDS = 0.5


@dataclass(frozen=True)
class DeviceFacts:
    """One Gaudi, by hl-smi.

    Attributes:
        product: for instance ``HL-225``.
        memory_mib: memory in MiB; None where it does not tell.
        used_mib: the part in use.
    """

    product: str
    driver: str
    memory_mib: int | None
    used_mib: int | None


@dataclass(frozen=True)
class Facts:
    """What was found.

    Attributes:
        accelerator: what this machine would be measured with.
        hl_smi: whether there is such a program.
        processes: on the devices, of anybody.
        throttled: each throttled device and why; None where nobody tells.
        versions: installed components, without those that are not.
        lazy_mode: PT_HPU_LAZY_MODE of this process, or None if it is not set.
        governors: the frequency governors of all cores; empty where the system does not tell.
        huge_pages: how many are reserved, or None where the system does not tell.
        memory_available: of the host, in bytes.
        load: load average over one minute, or None.
        steal_percent: of the processors' time, just now; None where the system does not tell.
        compiler: the C++ compiler, or None.
        gpus: NVIDIA's GPUs that are shown.
        no_nvml: why NVML cannot be asked; empty if it can, or was not.
    """

    accelerator: Literal["hpu", "cuda", "cpu"]
    hl_smi: bool = False
    devices: tuple[DeviceFacts, ...] = ()
    processes: tuple[DeviceProcess, ...] = ()
    throttled: tuple[str, ...] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    lazy_mode: str | None = None
    governors: frozenset[str] = frozenset()
    huge_pages: int | None = None
    memory_available: int = 0
    cores: int = 1
    load: float | None = None
    steal_percent: float | None = None
    compiler: str | None = None
    gpus: tuple[GpuFacts, ...] = ()
    no_nvml: str = ""


def gather(accelerator: Literal["auto", "hpu", "cuda", "cpu"] = "auto") -> Facts:
    """Look at this machine; takes about a second.

    Args:
        accelerator: ``auto`` takes Gaudi where there is hl-smi or Habana's plug-in, CUDA where NVML finds a GPU.
    """
    versions = {name: found for name in COMPONENTS if (found := _installed(name))}
    program = hl_smi.there_is_hl_smi()
    gpus, no_nvml = gather_gpus() if accelerator in ("auto", "cuda") else ((), "")
    if accelerator == "auto":
        accelerator = "hpu" if program or PLUGIN in versions else "cuda" if gpus else "cpu"
    watch = HostWatch.begin()
    time.sleep(STEAL_SECONDS)
    host = watch.end()
    on_gaudi = accelerator == "hpu"
    return Facts(
        accelerator=accelerator,
        hl_smi=program,
        devices=_devices() if on_gaudi else (),
        processes=tuple(hl_smi.processes()) if on_gaudi else (),
        throttled=_throttled() if on_gaudi else None,
        versions=versions,
        lazy_mode=os.environ.get("PT_HPU_LAZY_MODE"),
        governors=_governors(),
        huge_pages=_huge_pages(),
        memory_available=int(psutil.virtual_memory().available),
        cores=host.cores,
        load=host.load,
        steal_percent=host.steal_percent,
        compiler=_compiler(),
        gpus=gpus,
        no_nvml=no_nvml,
    )


def _devices() -> tuple[DeviceFacts, ...]:
    return tuple(
        DeviceFacts(product=name, driver=driver, memory_mib=_number(total), used_mib=_number(used))
        for name, driver, total, used in hl_smi.query("name", "driver_version", "memory.total", "memory.used")
    )


def _throttled() -> tuple[str, ...] | None:
    """Every throttled device, by pyhlml."""
    with suppress(Exception), opened() as hlml:  # pyhlml's own kinds, and ImportError: it is optional
        found = []
        for index in range(int(hlml.hlmlDeviceGetCount())):
            reasons = throttle_reasons(hlml, hlml.hlmlDeviceGetHandleByIndex(index))
            if reasons:
                found.append(f"device {index} ({' and '.join(reasons)})")
        return tuple(found)
    return None


def _governors() -> frozenset[str]:
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    found = set()
    for file in files:
        with suppress(OSError):
            found.add(file.read_text().strip())
    return frozenset(found)


def _huge_pages() -> int | None:
    with suppress(OSError):
        match = re.search(r"^HugePages_Total:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
        return int(match[1]) if match else None
    return None


def _compiler() -> str | None:
    """What torch.compile will use: CXX, else g++ or clang++."""
    named = os.environ.get("CXX")
    return next((found for name in ([named] if named else ["g++", "clang++"]) if (found := shutil.which(name))), None)


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
