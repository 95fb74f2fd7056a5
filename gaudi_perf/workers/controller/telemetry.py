"""Telemetry of a group: starts the process that samples, and finds why rounds must not be judged."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.accelerators.sampler import Readings
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample, Telemetry

_DEADLINE_S = 60.0
"""For an answer; hl-smi of a server with eight devices takes seconds. Afterwards the group has no telemetry."""
_POLITE_SECONDS = 2.0
_LOST = "telemetry was lost: whether devices were throttled, or shared with others, is not known"


class TelemetryWatch:
    """One sampling process. Whatever happens to it, nothing fails: there is no telemetry then."""

    def __init__(self, accelerator: Accelerator, environment: Mapping[str, str], log: Path) -> None:
        self._source = accelerator.telemetry
        self._before: Readings | None = None
        self._lost = False
        self._answered = False
        self._socket, theirs = socket.socketpair()
        self._answers = self._socket.makefile("rb")
        with log.open("ab") as messages, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gaudi_perf.accelerators.sampler", "--accelerator", accelerator.name],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=messages,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is the controller's to handle
            )

    def look(self) -> None:
        """Take the readings before a case is warmed up."""
        self._before = self._ask(b"look\n")

    def begin(self) -> None:
        """Sample from now on, when the timed rounds begin; takes no time."""
        if self._before is not None:
            with contextlib.suppress(OSError):
                self._socket.sendall(b"begin\n")

    def end(self, own_pids: Collection[int]) -> Telemetry | None:
        """What was read since ``look``, with a note where that is not all; None where there never was a source."""
        before, self._before = self._before, None
        after = self._ask(b"end\n") if before is not None else None
        readings = [one for one in (before, after) if one is not None]
        if not self._answered and self._no_source():
            return None
        return telemetry_of(
            self._source,
            [sample for one in readings for sample in one.samples],
            [one.processes for one in readings],
            own_pids,
            [*(note for one in readings for note in one.notes), *([_LOST] if len(readings) < 2 else [])],
        )

    def close(self) -> None:
        """End the process."""
        self._answers.close()
        self._socket.close()
        try:
            self._process.wait(timeout=_POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps even a killed process
                self._process.wait(timeout=_POLITE_SECONDS)

    def _no_source(self) -> bool:
        """Whether the process ended by itself, as it does where there is no source; others are lost."""
        try:
            return self._process.wait(timeout=_POLITE_SECONDS) > 0
        except subprocess.TimeoutExpired:
            return False

    def _ask(self, command: bytes) -> Readings | None:
        if self._lost:
            return None
        try:
            self._socket.settimeout(_DEADLINE_S)
            self._socket.sendall(command)
            answer = msgspec.json.decode(self._answers.readline(), type=Readings)
        except (OSError, msgspec.DecodeError):  # it ended, is silent, or talks nonsense
            self._lost = True  # an answer that comes late would be taken for that to the next question
            return None
        self._answered = True
        return answer


def telemetry_of(
    source: str,
    samples: Sequence[DeviceSample],
    processes: Sequence[Sequence[DeviceProcess]],
    own_pids: Collection[int],
    notes: Sequence[str] = (),
) -> Telemetry:
    """The telemetry of a run: of the devices that it used, with the processes of others on them.

    Vendors' tools may list the host's process numbers while the suite runs in a container that has numbers of its own.
    Then none is known as ours, and to call one foreign would be a guess: several on a device are unclear.
    ``processes`` are lists of all processes on all devices, each of one moment.
    """
    everyone = [process for listed in processes for process in listed]
    used = {process.device for process in everyone if process.pid in own_pids}
    others = [process for process in everyone if process.device in used and process.pid not in own_pids]
    unclear: list[DeviceProcess] = []
    for listed in processes if not used else ():
        counts = Counter(process.device for process in listed)
        unclear += (process for process in listed if counts[process.device] > 1)
    # Where no process is known as ours, ours are on devices that have one; where none is listed at all, on any.
    held = used or {process.device for process in everyone}
    return Telemetry(
        source=source,
        samples=[sample for sample in samples if sample.device in held or not held],
        foreign_processes=_each_once(others),
        unclear_processes=_each_once(unclear),
        notes=list(dict.fromkeys(notes)),
    )


def _each_once(processes: Sequence[DeviceProcess]) -> list[DeviceProcess]:
    """Each as it was seen first."""
    return list({(process.device, process.pid): process for process in reversed(processes)}.values())[::-1]


def problems_of(telemetry: Telemetry | None) -> list[str]:
    """Why rounds with this telemetry must not be judged, with the remedy; empty if they may."""
    if telemetry is None:
        return []
    found = [
        f"device {device} was throttled ({', '.join(reasons)}) during the timed rounds: cool the server or raise the "
        "device's power limit"
        for device, reasons in sorted(telemetry.throttled().items())
    ]
    if telemetry.foreign_processes:
        who = ", ".join(process.label for process in telemetry.foreign_processes[:8])
        found.append(f"shared with others during the timed rounds: {who}: let them end, or measure on free devices")
    return found
