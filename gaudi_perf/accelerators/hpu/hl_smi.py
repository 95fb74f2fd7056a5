"""hl-smi, the vendor's command line tool: its query and its table. Everything is empty where it is not there."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from collections.abc import Sequence

from gaudi_perf.vocabulary.telemetry import DeviceProcess

MIB = 1 << 20
_DEADLINE_S = 30

_PROCESS = re.compile(r"\|\s+(?P<device>\d+)\s+(?P<pid>\d+)\s+\S+\s+(?P<name>.*?)\s+(?P<memory>\d+)\s*MiB\s*\|")


def there_is_hl_smi() -> bool:
    """Whether the program is on PATH."""
    return shutil.which("hl-smi") is not None


def query(*fields: str) -> list[list[str]]:
    """Rows of hl-smi's query, a list of the fields for each device; empty if there is no hl-smi or no device."""
    answer = _run("-Q", ",".join(fields), "-f", "csv,noheader,nounits")
    rows = [[cell.strip() for cell in row] for row in csv.reader(answer.splitlines())]
    return [row for row in rows if len(row) == len(fields)]


def processes() -> list[DeviceProcess]:
    """The processes that hl-smi lists on all devices."""
    return processes_in(_run())


def processes_in(table: str) -> list[DeviceProcess]:
    """The processes that hl-smi's table lists below its devices."""
    _, _, below = table.partition("Compute Processes")
    return [
        DeviceProcess(
            device=int(match["device"]),
            pid=int(match["pid"]),
            name=match["name"],
            memory_bytes=int(match["memory"]) * MIB,
        )
        for match in map(_PROCESS.match, below.splitlines())
        if match is not None
    ]


def _run(*arguments: str) -> str:
    program = shutil.which("hl-smi")
    if program is None:
        return ""
    command: Sequence[str] = [program, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_DEADLINE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
