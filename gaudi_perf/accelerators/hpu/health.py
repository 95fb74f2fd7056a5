"""Whether Gaudis can be measured on: what hl-smi, pyhlml and the installed versions say, and what it means."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gaudi_perf.accelerators.base import GIB, Finding
from gaudi_perf.accelerators.health import DeviceFacts, Vendor, check_idle, check_products
from gaudi_perf.accelerators.host import mib_in_bytes, text_of
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.releases import installed_components, is_emulated, match_versions
from gaudi_perf.accelerators.hpu.telemetry import opened, throttle_reasons

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
    """A server with Gaudis: whether it has hl-smi, PT_HPU_LAZY_MODE of this process (None if it is not set), reserved
    huge pages (None where the system does not report them), and the host's free memory in bytes.
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
            hl_smi=shutil.which("hl-smi") is not None,
            devices=tuple(_devices()),
            versions=installed_components(),
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
        yield Finding("devices", "unfit", "hl-smi lists no device", remedy)
    else:
        remedy = "install the driver and habanalabs-thunk, or run in the vendor's container with --runtime=habana"
        yield Finding("devices", "unfit", "there is no hl-smi", remedy)
    yield from match_versions(facts.versions, drivers)
    if facts.lazy_mode not in (None, "1"):
        found = f"PT_HPU_LAZY_MODE={facts.lazy_mode} here; the suite's own workers set it to 1, other programs do not"
        yield Finding("lazy mode", "warning", found, "export PT_HPU_LAZY_MODE=1")
    else:
        where = "PT_HPU_LAZY_MODE=1" if facts.lazy_mode else "PT_HPU_LAZY_MODE is not set here"
        yield Finding("lazy mode", "ok", f"{where}; the suite's workers set it to 1")
    yield from check_idle(facts.devices, _HABANA)
    if facts.huge_pages is None:
        yield Finding("huge pages", "unknown", "the system does not report it")
    elif facts.huge_pages == 0 and not is_emulated(drivers):
        yield Finding("huge pages", "warning", "none reserved", f"sudo sysctl -w vm.nr_hugepages={HUGE_PAGES}")
    else:
        yield Finding("huge pages", "ok", f"{facts.huge_pages} reserved")
    if facts.memory_available < 32 * GIB and not is_emulated(drivers):
        found = f"{facts.memory_available / GIB:.1f} GiB free; weights pass through it"
        yield Finding("host memory", "warning", found, "free 32 GiB for BLOOMZ-7B")


def _devices() -> Iterator[DeviceFacts]:
    """Devices and processes by hl-smi, throttling by pyhlml, which is optional."""
    processes = hl_smi.processes()
    throttled: dict[int, tuple[str, ...]] = {}
    with suppress(Exception), opened() as hlml:  # pyhlml's own kinds, and ImportError
        for index in range(int(hlml.hlmlDeviceGetCount())):
            throttled[index] = tuple(throttle_reasons(hlml, hlml.hlmlDeviceGetHandleByIndex(index)))
    rows = hl_smi.query("name", "driver_version", "memory.total", "memory.used")
    for index, (product, driver, total, used) in enumerate(rows):
        own = tuple(process for process in processes if process.device == index)
        yield DeviceFacts(index, product, driver, mib_in_bytes(total), mib_in_bytes(used), own, throttled.get(index))


def _huge_pages() -> int | None:
    match = re.search(r"^HugePages_Total:\s+(\d+)", text_of(Path("/proc/meminfo")) or "", re.M)
    return int(match[1]) if match else None
