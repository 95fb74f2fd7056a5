"""hl-smi, the vendor's command line tool: its query and its table. Everything is empty where it is not there."""

from __future__ import annotations

import re

from gaudi_perf.accelerators.base import MIB
from gaudi_perf.accelerators.host import output_of, rows_in
from gaudi_perf.vocabulary.telemetry import DeviceProcess

# hl-smi 1.16 to 1.20 ends the row without a bar, 1.18 on a Gaudi of the first generation with one.
_PROCESS = re.compile(
    r"\| +(?P<device>\d{1,4}) +(?P<pid>\d{1,10}) +\S+ +(?P<name>\S.*?) +(?P<memory>\d{1,12}) *MiB *\|?$"
)
_LINE_CHARACTERS = 400
_BOARD = re.compile(r"HL-[0-9A-Z-]{1,20}")
# The board's name to the generation's: hl-smi's and the product pages' names, cards for PCIe included.
_GENERATIONS = {
    **{"HL-20": "gaudi"},
    **dict.fromkeys(("HL-22", "HL-28"), "gaudi2"),
    **dict.fromkeys(("HL-32", "HL-33", "HL-38"), "gaudi3"),
}


def query(*fields: str) -> list[list[str]]:
    """Rows of hl-smi's query, a list of the fields for each device; empty if there is no hl-smi or no device."""
    return devices_in(output_of("hl-smi", "-Q", ",".join(("name", *fields)), "-f", "csv,noheader,nounits"), len(fields))


def devices_in(output: str, fields: int) -> list[list[str]]:
    """The rows of a query's output that are of devices, each with so many fields behind the board's name."""
    # A line whose first cell is no board is a message that has as many commas.
    return [row[1:] for row in rows_in(output, fields + 1) if _BOARD.fullmatch(row[0])]


def generation_of(board: str) -> str:
    """``gaudi2`` for HL-225 or HL-288E; the board's own name in lower case where the generation is not known."""
    return _GENERATIONS.get(board[:5], board.lower())


def processes() -> list[DeviceProcess]:
    """The processes that hl-smi lists on all devices."""
    return processes_in(output_of("hl-smi"))


def processes_in(table: str) -> list[DeviceProcess]:
    """The processes that hl-smi's table lists below its devices."""
    _, _, below = table.partition("Compute Processes")
    lines = (line.rstrip() for line in below.splitlines() if len(line) <= _LINE_CHARACTERS)
    return [
        DeviceProcess(
            device=int(match["device"]),
            pid=int(match["pid"]),
            name=match["name"],
            memory_bytes=int(match["memory"]) * MIB,
        )
        for match in map(_PROCESS.match, lines)
        if match is not None
    ]
