"""Ends this process when the one that started it ends, however that ends; nothing of a group outlives its controller.

``python -m gaudi_perf.workers.rank.parent_death PARENT MODULE ARGUMENTS...`` becomes a module that need not know of it:
the kernel's promise to kill a process when its parent dies outlives ``exec``.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time

ORPHAN_SECONDS = 3.0
"""How long after its controller has gone a worker in a container may still end by itself."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the one that started it ends (Linux); end if that is gone already.

    ``parent`` is 0 if another process, for instance a container's, stands between.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def die_with_connection(connection: socket.socket) -> None:
    """End this process some time after the other end of a connection closes, whatever it is busy with (Linux).

    For a worker in a container: its client may be killed unnoticed, and the controller may not be allowed to
    see it. A thread waits in the kernel until then, and costs a round nothing.
    """
    if sys.platform != "linux":
        return
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLRDHUP)

    def wait() -> None:
        poller.poll()
        time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="controller").start()


def main() -> None:
    """Become the module."""
    parent, *words = sys.argv[1:]
    die_with_parent(int(parent))
    os.execv(sys.executable, [sys.executable, "-u", "-m", *words])


if __name__ == "__main__":
    main()
