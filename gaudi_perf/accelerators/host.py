"""Facts of the host: as it is during a measurement, what is installed, and what its programs print."""

from __future__ import annotations

import os
import platform
import re
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from gaudi_perf.vocabulary.stack import Host

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_CPUINFO = Path("/proc/cpuinfo")
# A server's eight devices take some 4 KiB of a vendor's tool.
_OUTPUT_BYTES = 1 << 20
_OUTPUT_S = 30.0
_LINE_CHARACTERS = 4096
_DIGITS = 15


@dataclass(frozen=True)
class HostWatch:
    """A host between two readings; None is what the system does not report.

    The load is the average over one minute at the first reading; ``busy_s`` the processor time of all cores since the
    system's start, in seconds, and ``stolen_s`` the part of it that the hypervisor gave to others.
    """

    load: float | None
    busy_s: float
    stolen_s: float | None

    @classmethod
    def begin(cls) -> HostWatch:
        """Take the first reading."""
        load = None
        with suppress(OSError):
            load = os.getloadavg()[0]
        return cls(load, *_processor_times())

    def end(self, hosts: int = 1) -> Host:
        """Take the second reading: the host as it was between both; the ranks are spread over so many hosts."""
        total, stolen = _processor_times()
        steal = None
        if stolen is not None and self.stolen_s is not None and total > self.busy_s:
            steal = round(100 * (stolen - self.stolen_s) / (total - self.busy_s), 2)
        return Host(
            cpu=cpu_model(),
            cores=usable_cores(),
            memory_bytes=psutil.virtual_memory().total,
            governor=text_of(_GOVERNOR),
            load=self.load,
            steal_percent=steal,
            hosts=hosts,
        )


def cpu_model() -> str:
    """The processor's model name."""
    found = re.search(r"^model name\s*:[ \t]*(\S.*)", text_of(_CPUINFO) or "", re.M)
    return " ".join(found[1].split())[:200] if found else platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed(distribution: str) -> str:
    """The version of a distribution that is installed; empty if it is not."""
    with suppress(PackageNotFoundError):
        return version(distribution)
    return ""


def output_of(program: str, *arguments: str) -> str:
    """What a program prints, be it with an error; empty where there is none, or no answer of 1 MiB in half a minute."""
    path = shutil.which(program)
    if path is None:
        return ""
    with suppress(OSError):
        return _bounded_output([path, *arguments]).decode(errors="replace")
    return ""


def failure_of(program: str, *arguments: str) -> str:
    """How a program that is there fails, in a clause; empty if it succeeds, or is not there."""
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, errors="replace", timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{program} cannot be run ({error})"
    if done.returncode == 0:
        return ""
    said = next((line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()), "")
    return f"{program} fails with exit status {done.returncode}" + (f" ({said[:200]})" if said else "")


def rows_in(text: str, columns: int) -> list[list[str]]:
    """Lines of so many cells, parted by commas; other lines, which are messages, are left out."""
    lines = (line for line in text.splitlines() if len(line) <= _LINE_CHARACTERS)
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    return [row for row in rows if len(row) == columns]


def mib_in_bytes(cell: str) -> int | None:
    """A cell with a number of MiB; None for ``[N/A]`` and the like."""
    return int(cell) << 20 if cell.isdecimal() and len(cell) <= _DIGITS else None


def _bounded_output(command: list[str]) -> bytes:
    """Empty for a program that prints too much or takes too long; it is killed then."""
    until = time.monotonic() + _OUTPUT_S
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout is not None
    found = bytearray()
    try:
        while len(found) <= _OUTPUT_BYTES:
            readable, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                return b""
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return bytes(found)
            found += chunk
        return b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def _processor_times() -> tuple[float, float | None]:
    times = psutil.cpu_times()
    # Linux counts the time of guests in user and nice, too.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return sum(times) - guests, getattr(times, "steal", None)


def text_of(path: Path) -> str | None:
    """What the system says in a small file of its own, without spaces around it; None where it says nothing."""
    with suppress(OSError):
        return path.read_text().strip() or None
    return None
