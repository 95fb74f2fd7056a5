"""Processes: those that belong to a group are found and ended; one ends with its parent; what a status means."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence

import psutil

MARK = "_GAUDI_PERF_WORKER_GROUP"
"""Environment variable by which all that a worker started is found again."""

ORPHAN_SECONDS = 3.0
"""How long after its controller has gone a worker in a container may still end by itself."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the process that started it ends, however that ends (Linux).

    Args:
        parent: that process; 0 if another one, for instance a container's, stands between.

    Raises:
        SystemExit: the parent is already gone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def die_with_connection(connection: socket.socket, patience_s: float = ORPHAN_SECONDS) -> None:
    """End this process when the other end of a connection closes, in whatever it is busy with (Linux).

    For a worker in a container: its client may be killed without word to it, and the controller may not be allowed to
    see it. A thread waits in the kernel until then, and costs a round nothing.

    Args:
        connection: to the controller.
        patience_s: how long after that this process may still end by itself.
    """
    if sys.platform != "linux":
        return
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLRDHUP)

    def wait() -> None:
        poller.poll()
        time.sleep(patience_s)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="controller").start()


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
    """Have a process group and others end by themselves: launchers of several hosts see to it there.

    Args:
        leader: the process that leads the process group.
        known: processes that belong to it wherever they are; they are waited for.
        patience_s: how long to wait.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGTERM)
    until = time.monotonic() + patience_s
    while alive(known) and time.monotonic() < until:  # an orphan may stay a zombie, which psutil would wait for
        time.sleep(0.05)


def end_all(leader: int, known: Sequence[psutil.Process], mark: str, patience_s: float) -> None:
    """Kill a process group, processes known to belong to it, and all that carry its mark.

    Args:
        leader: the process that leads the process group, which outlives it as long as it has a member.
        patience_s: how long to look for more.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    # Children may have sessions of their own, and parents that are gone.
    until = time.monotonic() + patience_s
    while (left := alive([*known, *marked(mark)])) and time.monotonic() < until:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=0.1)


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
