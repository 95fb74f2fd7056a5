"""hl-smi, the vendor's command line tool: its query and its table. Everything is empty where it is not there."""

from __future__ import annotations

import re

from gaudi_perf.accelerators.base import MIB
from gaudi_perf.accelerators.host import csv_of, output_of
from gaudi_perf.vocabulary.telemetry import DeviceProcess

_PROCESS = re.compile(r"\|\s+(?P<device>\d+)\s+(?P<pid>\d+)\s+\S+\s+(?P<name>.*?)\s+(?P<memory>\d+)\s*MiB\s*\|")


def query(*fields: str) -> list[list[str]]:
    """Rows of hl-smi's query, a list of the fields for each device; empty if there is no hl-smi or no device."""
    return csv_of("hl-smi", "-Q", ",".join(fields), "-f", "csv,noheader,nounits", columns=len(fields))


def processes() -> list[DeviceProcess]:
    """The processes that hl-smi lists on all devices."""
    return processes_in(output_of("hl-smi"))


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
