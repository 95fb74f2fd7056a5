"""Is this machine fit to measure? The checks of every host; those of an accelerator are ``health.py`` in its folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gaudi_perf.accelerators.base import GIB, MIB, Finding, Status
from gaudi_perf.accelerators.host import HostWatch, text_of
from gaudi_perf.vocabulary.documents import Document, Name
from gaudi_perf.vocabulary.telemetry import DeviceProcess

DOCTOR_SCHEMA = "gaudi-perf/doctor/1"
STEAL_SECONDS = 0.5
BUSY_LOAD, OVERLOAD = 0.25, 1.0
"""Of the cores."""
STEAL_WARNING, STEAL_UNFIT = 1.0, 5.0
"""Percent."""


class Diagnosis(Document, frozen=True, kw_only=True):
    """All findings, and what they come to: a machine with one that is ``unfit`` is not fit."""

    schema: str = DOCTOR_SCHEMA
    accelerator: Name
    fit: bool
    findings: list[Finding]


@dataclass(frozen=True)
class HostFacts:
    """This host, whatever it measures with: free memory in bytes, load over one minute, steal in percent, just now."""

    governors: frozenset[str] = frozenset()
    memory_available: int = 0
    cores: int = 1
    load: float | None = None
    steal_percent: float | None = None

    @classmethod
    def gather(cls) -> HostFacts:
        """Look at this host; takes ``STEAL_SECONDS``."""
        watch = HostWatch.begin()
        time.sleep(STEAL_SECONDS)
        host = watch.end()
        files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
        governors = frozenset(filter(None, map(text_of, files)))
        memory = int(psutil.virtual_memory().available)
        return cls(governors, memory, host.cores, host.load, host.steal_percent)


def diagnosis(name: str, own: Iterable[Finding], host: HostFacts) -> Diagnosis:
    """What the findings of an accelerator and of its host come to; of two for one check the accelerator's counts."""
    found = {one.check: one for one in own}
    found |= {one.check: one for one in check_host(host) if one.check not in found}
    return Diagnosis(
        accelerator=name, fit=all(one.status != "unfit" for one in found.values()), findings=[*found.values()]
    )


def check_host(facts: HostFacts) -> Iterator[Finding]:
    """What the facts mean, each with its remedy."""
    if not facts.governors:
        yield Finding("governor", "unknown", "the system does not report it (usual in a virtual machine)")
    elif facts.governors != {"performance"}:
        remedy = "sudo cpupower frequency-set --governor performance"
        yield Finding("governor", "warning", ", ".join(sorted(facts.governors)), remedy)
    else:
        yield Finding("governor", "ok", "performance")

    found = f"{facts.memory_available / GIB:.1f} GiB free"
    if facts.memory_available < 2 * GIB:
        yield Finding("host memory", "unfit", found, "end other programs: a stand-in takes up to 2 GiB")
    else:
        yield Finding("host memory", "ok", found)

    busy = None if facts.load is None else f"{facts.load:.2f} on {facts.cores} cores"
    share = None if facts.load is None else facts.load / facts.cores
    yield _graded("load", share, busy, BUSY_LOAD, OVERLOAD, "wait, or end what runs: see top")
    steal = None if facts.steal_percent is None else f"{facts.steal_percent:.1f} % of the processors' time"
    remedy = "measure on a machine of its own, or when its neighbours are quiet"
    yield _graded("hypervisor steal", facts.steal_percent, steal, STEAL_WARNING, STEAL_UNFIT, remedy)


def _graded(check: str, value: float | None, found: str | None, warning: float, unfit: float, remedy: str) -> Finding:
    if value is None or found is None:
        return Finding(check, "unknown", "the system does not report it")
    status: Status = "unfit" if value > unfit else "warning" if value > warning else "ok"
    return Finding(check, status, found, "" if status == "ok" else remedy)


@dataclass(frozen=True)
class Vendor:
    """Whose devices are looked at.

    Attributes:
        program: lists devices and their processes, on the host those of containers too.
        library: reports memory, processes and throttling, where it is not ``program``; ``install`` says how to get it.
        visible: the variable that shows devices.
        idle_share: of a device's memory, what the vendor's own software may hold while nobody uses it.
        throttling: the command that says why a device is throttled.
    """

    program: str
    library: str
    install: str
    visible: str
    idle_share: float
    throttling: str


@dataclass(frozen=True)
class DeviceFacts:
    """A device that is to be idle (a product like ``HL-225``), by the vendor's index; None where it is not reported.

    ``throttled`` says why its clocks are lowered.
    """

    index: int
    product: str
    driver: str = "unknown"
    memory_bytes: int | None = None
    used_bytes: int | None = None
    processes: tuple[DeviceProcess, ...] = ()
    throttled: tuple[str, ...] | None = None


def check_products(devices: Sequence[DeviceFacts], vendor: Vendor) -> Finding:
    """Whether all devices are of one kind; there is one at least."""
    products = sorted({device.product for device in devices})
    found = f"{len(devices)} x {', '.join(products)}"
    if len(products) > 1:
        return Finding("devices", "warning", f"{found}: of several kinds", f"show one kind with {vendor.visible}")
    return Finding("devices", "ok", found)


def check_idle(devices: Sequence[DeviceFacts], vendor: Vendor) -> Iterator[Finding]:
    """Whether nobody else uses the devices, and nothing lowers their clocks."""
    processes = [process for device in devices for process in device.processes]
    if processes:
        listed = ", ".join(f"{item.name or '?'} ({item.pid}) on {item.device}" for item in processes[:8])
        remedy = f"let them end, or measure on free devices ({vendor.visible})"
        yield Finding("other processes", "unfit", f"on the devices: {listed}", remedy)
    else:
        yield Finding("other processes", "ok" if devices else "unknown", "none are listed on the devices")

    memory = [(one.index, one.used_bytes, one.memory_bytes) for one in devices]
    known = [(at, used, whole) for at, used, whole in memory if used is not None and whole]
    held = [f"{used // MIB} MiB on {at}" for at, used, whole in known if used > vendor.idle_share * whole]
    if not known:
        yield Finding("device memory", "unknown", "is not reported")
    elif held:
        remedy = f"find who holds it: {vendor.program} on the host also lists processes of other containers"
        yield Finding("device memory", "warning", f"in use: {', '.join(held)}", remedy)
    else:
        free = min(whole - used for _, used, whole in known)
        yield Finding("device memory", "ok", f"{free // MIB} MiB free on each device")

    throttled = [f"device {one.index} ({' and '.join(one.throttled)})" for one in devices if one.throttled]
    if throttled:
        remedy = f"cool the server, or raise the power limit: {vendor.throttling}"
        yield Finding("throttling", "unfit", ", ".join(throttled), remedy)
    elif all(device.throttled is None for device in devices):
        yield Finding("throttling", "unknown", f"{vendor.library} does not report it", vendor.install)
    else:
        yield Finding("throttling", "ok", "none")
