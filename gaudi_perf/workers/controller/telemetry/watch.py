"""The controller's side of telemetry: starts the process that samples, tells it when rounds begin and end."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.accelerators.sampler import Readings
from gaudi_perf.vocabulary.telemetry import Telemetry
from gaudi_perf.workers.controller.telemetry.findings import telemetry_of

_DEADLINE_S = 60.0
"""For an answer; hl-smi of a server with eight devices takes seconds. Afterwards the group has no telemetry."""
_POLITE_SECONDS = 2.0
_LOST = "telemetry was lost: whether devices were throttled, or shared with others, is not known"


class TelemetryWatch:
    """One sampling process. Whatever happens to it, nothing fails: there is no telemetry then."""

    def __init__(self, accelerator: Accelerator, environment: Mapping[str, str], log: Path) -> None:
        """Start the process, without waiting for it.

        Args:
            accelerator: whose devices are read.
            environment: all environment variables of the process.
            log: where its messages go.
        """
        self._source = accelerator.telemetry
        self._before: Readings | None = None
        self._lost = False
        self._answered = False
        self._buffer = b""
        with log.open("ab") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gaudi_perf.accelerators.sampler", "--accelerator", accelerator.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is the controller's to handle
            )

    def look(self) -> None:
        """Take the readings before a case is warmed up."""
        self._before = self._ask(b"look\n")

    def begin(self) -> None:
        """The timed rounds begin: sample from now on. Takes no time."""
        if self._before is not None:
            with contextlib.suppress(OSError):
                self._send(b"begin\n")

    def end(self, own_pids: Collection[int]) -> Telemetry | None:
        """Take the readings after the rounds.

        Args:
            own_pids: processes of the worker group.

        Returns:
            What was told since ``look``, with a note where that is not all; None where there never was a source.
        """
        before, self._before = self._before, None
        after = self._ask(b"end\n") if before is not None else None
        told = [one for one in (before, after) if one is not None]
        if not self._answered:
            return None
        return telemetry_of(
            self._source,
            [sample for one in told for sample in one.samples],
            [one.processes for one in told],
            own_pids,
            [*(note for one in told for note in one.notes), *([_LOST] if len(told) < 2 else [])],
        )

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self._process.wait(timeout=_POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps even a killed process
                self._process.wait(timeout=_POLITE_SECONDS)

    def _ask(self, command: bytes) -> Readings | None:
        if self._lost:
            return None
        try:
            self._send(command)
            told = msgspec.json.decode(self._line(), type=Readings)
        except (OSError, ValueError, msgspec.DecodeError):  # it ended, is silent, or talks nonsense
            self._lost = True  # an answer that comes late would be taken for that to the next question
            return None
        self._answered = True
        return told

    def _send(self, command: bytes) -> None:
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), command)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        until = time.monotonic() + _DEADLINE_S
        answers = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([answers], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(answers, 1 << 16) if readable else b""
            if not chunk:
                raise ValueError("no answer")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
