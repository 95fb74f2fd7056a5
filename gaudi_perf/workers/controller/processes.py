"""Processes of a group: found, ended, what an exit status means, and what is raised where a group cannot go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gaudi_perf.protocol import MARK


@dataclass(eq=False)
class GroupFailure(Exception):
    """A worker group died, went silent or reported a fault, in this phase.

    Attributes:
        log: the last lines of its log.
        mistake: whether a person can mend it (a wrong path of weights), in which case the log adds nothing.
        log_path: the whole log, for as long as the session's private directory; None if there is none.
    """

    phase: str
    sentence: str
    log: str = ""
    mistake: bool = False
    log_path: Path | None = None

    def __str__(self) -> str:
        return self.sentence


def descendants(pid: int) -> list[psutil.Process]:
    """Children of a process, theirs, and so on."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def marked(mark: str) -> list[psutil.Process]:
    """Processes that were started, at whatever remove, with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    running = []
    for process in set(processes):
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


def ask_to_end(leader: int, known: Sequence[psutil.Process], patience_s: float) -> None:
    """Have the process group of a leader end by itself, and wait for all that is known to belong to it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGTERM)
    until = time.monotonic() + patience_s
    while alive(known) and time.monotonic() < until:  # an orphan may stay a zombie, which psutil would wait for
        time.sleep(0.05)


def end_all(
    leaders: Sequence[subprocess.Popen[bytes]], known: Sequence[psutil.Process], mark: str, patience_s: float
) -> None:
    """Kill the process groups of leaders, processes known to belong to them, and all that carry their mark."""
    for leader in leaders:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)
    # Children may have sessions of their own, and parents that are gone.
    until = time.monotonic() + patience_s
    while (left := alive([*known, *marked(mark)])) and time.monotonic() < until:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=0.1)
    for leader in leaders:
        with contextlib.suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps even a killed process
            leader.wait(timeout=patience_s)


def status_text(returncode: int) -> str:
    """What an exit status says, as ``was killed by SIGKILL``."""
    if returncode >= 0:
        return f"ended with exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
