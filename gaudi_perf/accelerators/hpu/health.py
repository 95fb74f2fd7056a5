"""Whether Gaudis can be measured on: what hl-smi, pyhlml and the installed versions say, and what it means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gaudi_perf.accelerators.base import GIB, Finding, Status, finding
from gaudi_perf.accelerators.host import installed
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.hlml import opened, throttle_reasons
from gaudi_perf.accelerators.hpu.matching import COMPONENTS, is_emulated, match_versions
from gaudi_perf.vocabulary.telemetry import DeviceProcess

IDLE_SHARE = 0.05
"""What a Gaudi's own software may hold of its memory while nobody uses it."""
HUGE_PAGES = 153600
"""Pages of 2 MiB that scripts for servers with eight Gaudis reserve."""


@dataclass(frozen=True)
class GaudiDevice:
    """One Gaudi, by hl-smi.

    Attributes:
        product: for instance ``HL-225``.
        memory_mib: memory in MiB; None where it is not reported.
        used_mib: the part in use.
    """

    product: str
    driver: str
    memory_mib: int | None
    used_mib: int | None


@dataclass(frozen=True)
class GaudiFacts:
    """A server with Gaudis.

    Attributes:
        hl_smi: whether there is such a program.
        processes: on the devices, of anybody.
        throttled: each throttled device and why; None where there is no pyhlml.
        versions: installed components, without those that are not.
        lazy_mode: PT_HPU_LAZY_MODE of this process, or None if it is not set.
        huge_pages: how many are reserved, or None where the system does not report it.
        memory_available: of the host, in bytes.
    """

    hl_smi: bool = False
    devices: tuple[GaudiDevice, ...] = ()
    processes: tuple[DeviceProcess, ...] = ()
    throttled: tuple[str, ...] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    lazy_mode: str | None = None
    huge_pages: int | None = None
    memory_available: int = 0

    @classmethod
    def gather(cls) -> GaudiFacts:
        """Look at this machine."""
        rows = hl_smi.query("name", "driver_version", "memory.total", "memory.used")
        return cls(
            hl_smi=hl_smi.there_is_hl_smi(),
            devices=tuple(
                GaudiDevice(name, driver, _number(total), _number(used)) for name, driver, total, used in rows
            ),
            processes=tuple(hl_smi.processes()),
            throttled=_throttled(),
            versions={name: found for name in COMPONENTS if (found := installed(name))},
            lazy_mode=os.environ.get("PT_HPU_LAZY_MODE"),
            huge_pages=_huge_pages(),
            memory_available=int(psutil.virtual_memory().available),
        )


def check_gaudis(facts: GaudiFacts) -> Iterator[Finding]:
    """What the facts mean, each with its remedy."""
    drivers = {device.driver for device in facts.devices}
    yield _devices(facts)
    yield from match_versions(facts.versions, drivers)
    yield _lazy_mode(facts.lazy_mode)
    yield _processes(facts)
    yield _device_memory(facts)
    yield _throttling(facts.throttled)
    if facts.huge_pages is None:
        yield finding("huge pages", "unknown", "the system does not tell")
    elif facts.huge_pages == 0 and not is_emulated(drivers):
        yield finding("huge pages", "warning", "none reserved", f"sudo sysctl -w vm.nr_hugepages={HUGE_PAGES}")
    else:
        yield finding("huge pages", "ok", f"{facts.huge_pages} reserved")
    if facts.memory_available < 32 * GIB and not is_emulated(drivers):
        found = f"{facts.memory_available / GIB:.1f} GiB free; weights pass through it"
        yield finding("host memory", "warning", found, "free 32 GiB for BLOOMZ-7B")


def _devices(facts: GaudiFacts) -> Finding:
    if not facts.hl_smi:
        remedy = "install the driver and habanalabs-thunk, or run in the vendor's container with --runtime=habana"
        return finding("devices", "unfit", "there is no hl-smi", remedy)
    if not facts.devices:
        remedy = "run hl-smi and read its error; in a container, set HABANA_VISIBLE_DEVICES=all"
        return finding("devices", "unfit", "hl-smi lists no device", remedy)
    products = sorted({device.product for device in facts.devices})
    found = f"{len(facts.devices)} x {', '.join(products)}"
    if len(products) > 1:
        return finding("devices", "warning", f"{found}: of several kinds", "show one kind with HABANA_VISIBLE_DEVICES")
    return finding("devices", "ok", found)


def _lazy_mode(value: str | None) -> Finding:
    if value not in (None, "1"):
        found = f"PT_HPU_LAZY_MODE={value} here; the suite's own workers set it to 1, other programs do not"
        return finding("lazy mode", "warning", found, "export PT_HPU_LAZY_MODE=1")
    where = "PT_HPU_LAZY_MODE=1" if value else "PT_HPU_LAZY_MODE is not set here"
    return finding("lazy mode", "ok", f"{where}; the suite's workers set it to 1")


def _processes(facts: GaudiFacts) -> Finding:
    if not facts.processes:
        status: Status = "ok" if facts.devices else "unknown"
        return finding("other processes", status, "hl-smi lists none on the devices")
    listed = ", ".join(f"{item.name or '?'} ({item.pid}) on {item.device}" for item in facts.processes[:8])
    return finding("other processes", "unfit", f"on the devices: {listed}", "let them end, or measure on free devices")


def _device_memory(facts: GaudiFacts) -> Finding:
    known = [
        (index, device.used_mib, device.memory_mib)
        for index, device in enumerate(facts.devices)
        if device.used_mib is not None and device.memory_mib
    ]
    if not known:
        return finding("device memory", "unknown", "hl-smi does not tell")
    used = [f"{mib} MiB on {index}" for index, mib, total in known if mib > IDLE_SHARE * total]
    if used:
        remedy = "find who holds it: hl-smi on the host also lists processes of other containers"
        return finding("device memory", "warning", f"in use: {', '.join(used)}", remedy)
    return finding("device memory", "ok", f"{min(total - mib for _, mib, total in known)} MiB free on each device")


def _throttling(throttled: tuple[str, ...] | None) -> Finding:
    if throttled is None:
        remedy = "it needs habana-pyhlml and the driver's libhlml.so"
        return finding("throttling", "unknown", "pyhlml does not tell", remedy)
    if throttled:
        remedy = "cool the server, or raise the power limit; see hl-smi -q -d POWER,TEMPERATURE"
        return finding("throttling", "unfit", ", ".join(throttled), remedy)
    return finding("throttling", "ok", "none")


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


def _huge_pages() -> int | None:
    with suppress(OSError):
        match = re.search(r"^HugePages_Total:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
        return int(match[1]) if match else None
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
