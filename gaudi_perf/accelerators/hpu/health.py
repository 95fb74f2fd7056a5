"""Whether Gaudis can be measured on: what hl-smi, pyhlml and the installed versions say, and what it means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gaudi_perf.accelerators.base import GIB, MIB, Finding, finding
from gaudi_perf.accelerators.health import DeviceFacts, Vendor, check_idle, check_products
from gaudi_perf.accelerators.host import installed
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.hlml import opened, throttle_reasons
from gaudi_perf.accelerators.hpu.matching import COMPONENTS, is_emulated, match_versions

HUGE_PAGES = 153600
"""Pages of 2 MiB that scripts for servers with eight Gaudis reserve."""
_HABANA = Vendor(
    program="hl-smi",
    library="pyhlml",
    install="it needs habana-pyhlml and the driver's libhlml.so",
    visible="HABANA_VISIBLE_DEVICES",
    idle_share=0.05,
    throttling="hl-smi -q -d POWER,TEMPERATURE",
)


@dataclass(frozen=True)
class GaudiFacts:
    """A server with Gaudis.

    Attributes:
        hl_smi: whether there is such a program.
        versions: installed components, without those that are not.
        lazy_mode: PT_HPU_LAZY_MODE of this process, or None if it is not set.
        huge_pages: how many are reserved, or None where the system does not report it.
        memory_available: of the host, in bytes.
    """

    hl_smi: bool = False
    devices: tuple[DeviceFacts, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    lazy_mode: str | None = None
    huge_pages: int | None = None
    memory_available: int = 0

    @classmethod
    def gather(cls) -> GaudiFacts:
        """Look at this machine."""
        return cls(
            hl_smi=hl_smi.there_is_hl_smi(),
            devices=tuple(_devices()),
            versions={name: found for name in COMPONENTS if (found := installed(name))},
            lazy_mode=os.environ.get("PT_HPU_LAZY_MODE"),
            huge_pages=_huge_pages(),
            memory_available=int(psutil.virtual_memory().available),
        )


def check_gaudis(facts: GaudiFacts) -> Iterator[Finding]:
    """What the facts mean, each with its remedy."""
    drivers = {device.driver for device in facts.devices}
    if facts.devices:
        yield check_products(facts.devices, _HABANA)
    elif facts.hl_smi:
        remedy = "run hl-smi and read its error; in a container, set HABANA_VISIBLE_DEVICES=all"
        yield finding("devices", "unfit", "hl-smi lists no device", remedy)
    else:
        remedy = "install the driver and habanalabs-thunk, or run in the vendor's container with --runtime=habana"
        yield finding("devices", "unfit", "there is no hl-smi", remedy)
    yield from match_versions(facts.versions, drivers)
    yield _lazy_mode(facts.lazy_mode)
    yield from check_idle(facts.devices, _HABANA)
    if facts.huge_pages is None:
        yield finding("huge pages", "unknown", "the system does not report it")
    elif facts.huge_pages == 0 and not is_emulated(drivers):
        yield finding("huge pages", "warning", "none reserved", f"sudo sysctl -w vm.nr_hugepages={HUGE_PAGES}")
    else:
        yield finding("huge pages", "ok", f"{facts.huge_pages} reserved")
    if facts.memory_available < 32 * GIB and not is_emulated(drivers):
        found = f"{facts.memory_available / GIB:.1f} GiB free; weights pass through it"
        yield finding("host memory", "warning", found, "free 32 GiB for BLOOMZ-7B")


def _lazy_mode(value: str | None) -> Finding:
    if value not in (None, "1"):
        found = f"PT_HPU_LAZY_MODE={value} here; the suite's own workers set it to 1, other programs do not"
        return finding("lazy mode", "warning", found, "export PT_HPU_LAZY_MODE=1")
    where = "PT_HPU_LAZY_MODE=1" if value else "PT_HPU_LAZY_MODE is not set here"
    return finding("lazy mode", "ok", f"{where}; the suite's workers set it to 1")


def _devices() -> Iterator[DeviceFacts]:
    """Devices and processes by hl-smi, throttling by pyhlml, which is optional."""
    processes = hl_smi.processes()
    throttled: dict[int, tuple[str, ...]] = {}
    with suppress(Exception), opened() as hlml:  # pyhlml's own kinds, and ImportError
        for index in range(int(hlml.hlmlDeviceGetCount())):
            throttled[index] = tuple(throttle_reasons(hlml, hlml.hlmlDeviceGetHandleByIndex(index)))
    rows = hl_smi.query("name", "driver_version", "memory.total", "memory.used")
    for index, (product, driver, *memory) in enumerate(rows):
        total, used = (int(mib) * MIB if mib.isdecimal() else None for mib in memory)
        own = tuple(process for process in processes if process.device == index)
        yield DeviceFacts(index, product, driver, total, used, own, throttled.get(index))


def _huge_pages() -> int | None:
    with suppress(OSError):
        match = re.search(r"^HugePages_Total:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
        return int(match[1]) if match else None
    return None
