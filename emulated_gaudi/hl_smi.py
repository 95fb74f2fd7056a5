"""hl-smi of the emulated server: the table, and -Q with csv, in the forms of hl-smi 1.18."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

if __name__ == "__main__":  # run by path: its package lies beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from emulated_gaudi import settings as settings_module
from emulated_gaudi.monitor import Monitor, Reading
from emulated_gaudi.settings import MIB, Settings

_UNITS = {
    "power.draw": "W",
    "temperature.aip": "C",
    "utilization.aip": "%",
    "memory.used": "MiB",
    "memory.free": "MiB",
    "memory.total": "MiB",
}


def query(settings: Settings, reading: Reading, kind: str) -> str:
    """One value of -Q, without its unit.

    Raises:
        KeyError: hl-smi has no such query type, or the emulation does not know it.
    """
    module, total = reading.module, settings.memory_bytes
    values = {
        "timestamp": datetime.now().strftime("%a %b %d %H:%M:%S %Z %Y"),
        "name": settings.product.card,
        "bus_id": settings.bus_id(module),
        "driver_version": settings.driver,
        "temperature.aip": reading.temperature_celsius,
        "module_id": module,
        "index": module,
        "serial": settings.serial(module),
        "uuid": settings.uuid(module),
        "utilization.aip": reading.utilization_percent,
        "memory.total": total // MIB,
        "memory.used": reading.memory_used_bytes // MIB,
        "memory.free": (total - reading.memory_used_bytes) // MIB,
        "power.draw": reading.power_milliwatts // 1000,
        "ecc.errors.uncorrected.aggregate.total": 0,
        "ecc.errors.uncorrected.volatile.total": 0,
        "ecc.errors.corrected.aggregate.total": 0,
        "ecc.errors.corrected.volatile.total": 0,
        "ecc.mode.current": 1,
        "ecc.mode.pending": 1,
        "stats.violation.power": int(bool(reading.throttle_reasons & 1)),
        "stats.violation.thermal": int(bool(reading.throttle_reasons & 2)),
    }
    return str(values[kind])


def csv(settings: Settings, readings: list[Reading], kinds: list[str], header: bool, units: bool) -> str:
    """The answer to -Q."""
    lines = []
    if header:
        lines.append(", ".join(f"{k} [{_UNITS[k]}]" if k in _UNITS else k for k in kinds))
    for reading in readings:
        values = []
        for kind in kinds:
            unit = f" {_UNITS[kind]}" if units and kind in _UNITS else ""
            values.append(query(settings, reading, kind) + unit)
        lines.append(", ".join(values))
    return "\n".join(lines)


def table(settings: Settings, readings: list[Reading]) -> str:
    """The answer without options."""
    rule = "|-------------------------------+----------------------+----------------------+"
    lines = [
        "+-----------------------------------------------------------------------------+",
        f"| HL-SMI Version: {settings.firmware:>39}{'':22}|"[:78] + "|",
        f"| Driver Version: {settings.driver:>39}{'':22}|"[:78] + "|",
        rule,
        "| AIP  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |",
        "| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | AIP-Util  Compute M. |",
        "|===============================+======================+======================|",
    ]
    for r in readings:
        name, watts = settings.product.card, r.power_milliwatts // 1000
        power = f"{watts}W / {settings.product.power_limit_watts}W"
        memory = f"{r.memory_used_bytes // MIB}MiB / {settings.memory_bytes // MIB}MiB"
        lines += [
            f"| {r.module:3d}  {name:<20}N/A  | {settings.bus_id(r.module):<16} N/A |{0:>20}  |",
            f"| N/A  {r.temperature_celsius:3d}C   N/A {power:>13} |{memory:>21} |{r.utilization_percent:>6d}%"
            f"{'N/A':>14} |",
            rule,
        ]
    lines += [
        "| Compute Processes:                                               AIP Memory |",
        "|  AIP       PID   Type   Process name                             Usage      |",
        "|=============================================================================|",
    ]
    for r in readings:
        if not r.processes:
            lines.append(f"| {r.module:3d}        N/A   N/A    N/A{'N/A':>41}{'':8}|")
        for p in r.processes:
            usage = f"{p.memory_bytes // MIB}MiB"
            # Real ones (1.16, 1.20) end this row without a bar.
            lines.append(f"| {r.module:3d} {p.pid:>12d}     C   {p.name[:37]:<37}   {usage:<11} ")
    lines.append("+=============================================================================+")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Answers like hl-smi.

    Args:
        arguments: the settings document, then hl-smi's own options.
    """
    settings = settings_module.load(arguments[0])
    monitor = Monitor(settings)
    parser = argparse.ArgumentParser(prog="hl-smi")
    parser.add_argument("-Q", "--query-aip", metavar="TYPES")
    parser.add_argument("-f", "--format", metavar="FORMAT", default="")
    parser.add_argument("-i", "--id", metavar="BUS_ID")
    options = parser.parse_args(arguments[1:])
    readings = [monitor.read(module) for module in range(settings.devices)]
    if options.id:
        readings = [r for r in readings if options.id in (settings.bus_id(r.module), str(r.module))]
    if not options.query_aip:
        print(table(settings, readings))
        return 0
    formats = options.format.split(",")
    if "csv" not in formats:
        parser.error("-Q needs -f csv")
    try:
        print(
            csv(settings, readings, options.query_aip.split(","), "noheader" not in formats, "nounits" not in formats)
        )
    except KeyError as error:
        print(f"hl-smi (emulated): the query type {error} is not emulated", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
