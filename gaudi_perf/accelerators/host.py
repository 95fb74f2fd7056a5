"""Facts of the host: as it is during a measurement, what is installed, and what its programs print."""

from __future__ import annotations

import csv
import os
import platform
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from gaudi_perf.vocabulary.stack import Host

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class HostWatch:
    """A host between two readings.

    Attributes:
        load: load average over one minute at the first reading, or None where the system does not report it.
        busy_s: processor time of all cores since the system's start, in seconds.
        stolen_s: the part of it that the hypervisor gave to others, or None where the system does not report it.
    """

    load: float | None
    busy_s: float
    stolen_s: float | None

    @classmethod
    def begin(cls) -> HostWatch:
        """Take the first reading."""
        total, stolen = _processor_times()
        try:
            load = os.getloadavg()[0]
        except OSError:
            load = None
        return cls(load=load, busy_s=total, stolen_s=stolen)

    def end(self, hosts: int = 1) -> Host:
        """Take the second reading: the host as it was between both.

        Args:
            hosts: over how many hosts the ranks are spread.
        """
        total, stolen = _processor_times()
        steal = None
        if stolen is not None and self.stolen_s is not None and total > self.busy_s:
            steal = round(100 * (stolen - self.stolen_s) / (total - self.busy_s), 2)
        return Host(
            cpu=cpu_model(),
            cores=usable_cores(),
            memory_bytes=psutil.virtual_memory().total,
            governor=_read(_GOVERNOR),
            load=self.load,
            steal_percent=steal,
            hosts=hosts,
        )


def cpu_model() -> str:
    """The processor's model name."""
    for line in (_read(_CPUINFO) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return " ".join(value.split())[:200]
    return platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int:
    """Logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def installed(distribution: str) -> str:
    """The version of a distribution that is installed; empty if it is not."""
    with suppress(PackageNotFoundError):
        return version(distribution)
    return ""


def output_of(program: str, *arguments: str) -> str:
    """What a program prints, be it with an error; empty where there is none, or no answer within half a minute."""
    path = shutil.which(program)
    if path is None:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        command = [path, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)
        return done.stdout
    return ""


def csv_of(program: str, *arguments: str, columns: int) -> list[list[str]]:
    """The same as rows of so many cells; other lines, which are messages, are left out."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(output_of(program, *arguments).splitlines())]
    return [row for row in rows if len(row) == columns]


def _processor_times() -> tuple[float, float | None]:
    times = psutil.cpu_times()
    # Linux counts the time of guests in user and nice, too.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return sum(times) - guests, getattr(times, "steal", None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
