"""What hl-smi and pyhlml report of the emulated server: readings that follow from its state, none of them measured."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from emulated_gaudi.faults import Fault, FaultsError, Reader
from emulated_gaudi.settings import FAULTS_VARIABLE, Settings


@dataclass(frozen=True)
class Process:
    """A process on a device."""

    pid: int
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Reading:
    """One device, now."""

    module: int
    memory_used_bytes: int
    utilization_percent: int
    temperature_celsius: int
    power_milliwatts: int
    clock_mhz: int
    throttle_reasons: int  # bits: 1 power, 2 thermal
    processes: tuple[Process, ...]


_IDLE_CELSIUS, _BUSY_CELSIUS, _THROTTLE_CELSIUS = 30, 55, 100
_THROTTLE_BITS = {"none": 0, "power": 1, "thermal": 2}


class Monitor:
    """Reads the state that the processes of an emulated server leave in its directory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._faults_file = Reader(os.environ.get(FAULTS_VARIABLE) or Path(settings.directory) / "faults.json")

    def read(self, module: int) -> Reading:
        """The reading of one device.

        Args:
            module: 0 to the number of devices less one.
        """
        processes = self._processes(module)
        faults = self._faults(module)
        reasons = 0
        for fault in faults:
            reasons |= _THROTTLE_BITS[fault.throttle]
            if fault.foreign_process:
                processes.append(Process(1, fault.foreign_process, 512 * 1024**2))
        used = sum(process.memory_bytes for process in processes)
        busy = bool(processes)
        product = self.settings.product
        limit = product.power_limit_watts * 1000
        hot = _THROTTLE_CELSIUS if reasons & 2 else (_BUSY_CELSIUS if busy else _IDLE_CELSIUS)
        power = limit if reasons & 1 else (limit // 2 if busy else limit // 6)
        clock = product.clock_mhz // 2 if reasons else product.clock_mhz
        return Reading(module, used, 50 if busy else 0, hot, power, clock, reasons, tuple(processes))

    def _faults(self, module: int) -> list[Fault]:
        try:
            self._faults_file.refresh()
        except FaultsError:
            return []  # the process on the device says so, louder
        s = self.settings
        return self._faults_file.document.matching(
            module=module, rank=module, synapse=s.synapse, generation=s.generation
        )

    def _processes(self, module: int) -> list[Process]:
        found = []
        for document in sorted(self.settings.processes_directory.glob("*.json")):
            try:
                facts = json.loads(document.read_bytes())
                memory = int.from_bytes(document.with_suffix(".memory").read_bytes(), "little", signed=True)
            except (OSError, ValueError):
                continue  # it is just coming or going
            if facts["module"] != module:
                continue
            try:
                os.kill(facts["pid"], 0)
            except ProcessLookupError:  # it died without leaving; its number may be given to another
                document.unlink(missing_ok=True)
                document.with_suffix(".memory").unlink(missing_ok=True)
                continue
            except PermissionError:
                pass
            found.append(Process(facts["pid"], facts["name"], memory))
        return found
