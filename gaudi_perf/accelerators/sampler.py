"""Reads the devices in a process of its own: ``python -m gaudi_perf.accelerators.sampler --accelerator NAME``.

It is a process, not a thread of the worker: generation is largely Python, and a thread would compete for its
interpreter.
Lines on standard input are commands. ``look`` (before the warm-up, since listing processes takes long) and ``end`` (of
the timed rounds) are answered by one ``Readings`` each on standard output, as a line of JSON. From ``begin``, which has
no answer, to ``end`` the devices are sampled at intervals. It ends with its input.
"""

from __future__ import annotations

import argparse
import os
import select
import sys

import msgspec

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.accelerators.base import TelemetrySource
from gaudi_perf.vocabulary.documents import Document, encode_line
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample, Moment

FIRST_S = 0.1
"""Seconds from the rounds' beginning to the first sample, so that short ones have one, too."""
INTERVAL_S = 1.0


class Readings(Document, frozen=True):
    """The answer to a command: samples since the one before, processes on the devices now, and the source's notes."""

    samples: list[DeviceSample] = []
    processes: list[DeviceProcess] = []
    notes: list[str] = []


def serve(source: TelemetrySource, commands: int, answers: int) -> None:
    """Answer commands until they end; both are file descriptors."""

    def sampled(moment: Moment) -> list[DeviceSample]:
        return [msgspec.structs.replace(sample, moment=moment) for sample in source.sample()]

    during: list[DeviceSample] = []
    wait: float | None = None  # seconds until the next sample; None outside the rounds
    buffer = b""
    while True:
        readable, _, _ = select.select([commands], [], [], wait)
        if not readable:
            during += sampled("during")
            wait = INTERVAL_S
            continue
        chunk = os.read(commands, 4096)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            if line == b"begin":
                source.begin()
                wait = FIRST_S
                continue
            samples = [*during, *sampled("before" if line == b"look" else "after")]
            during, wait = [], None
            answer = encode_line(Readings(samples, source.processes(), source.notes()))
            while answer:
                answer = answer[os.write(answers, answer) :]


def main() -> None:
    """Open the source and serve; where it is not there, end at once."""
    parser = argparse.ArgumentParser(description="Samples devices; started by the suite, not by hand.")
    parser.add_argument("--accelerator", required=True)
    arguments = parser.parse_args()
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the answers
    try:
        source = accelerator_named(arguments.accelerator).telemetry_source()
    except Exception as error:  # of the vendor's own kinds; telemetry is optional
        sys.exit(f"no telemetry of {arguments.accelerator}: {type(error).__name__}: {error}")
    try:
        serve(source, 0, answers)
    finally:
        source.close()


if __name__ == "__main__":
    main()
