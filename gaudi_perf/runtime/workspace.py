"""A private directory for the sockets and logs of a session, and the removal of those that killed sessions left."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

from gaudi_perf.vocabulary.errors import UserError

_PREFIX = "gaudi-perf-"
_SOCKET_PATH_LIMIT = 100  # bytes; sockaddr_un holds 108


class Workspace:
    """A directory that only its owner may enter (mode 0700), named after the process that made it."""

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        remove_abandoned(parent)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{_started(os.getpid())}-", dir=parent))
        except OSError as error:
            raise UserError(f"no private directory can be made in {parent}: {error.strerror}; set TMPDIR") from None
        if len(os.fsencode(self.path)) > _SOCKET_PATH_LIMIT:
            self.close()
            raise UserError(
                f"the temporary directory {parent} has too long a path for a socket: set TMPDIR to a shorter"
            )

    def close(self) -> None:
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove this user's workspaces whose process is gone (killed before it could clean up); returns them."""
    removed = []
    for path in parent.glob(f"{_PREFIX}*-*-*"):
        try:
            pid, started = (int(part) for part in path.name[len(_PREFIX) :].split("-")[:2])
            abandoned = path.stat().st_uid == os.getuid() and started != _started(pid)
        except (ValueError, OSError):
            continue
        if abandoned:
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def _started(pid: int) -> int:
    """When a process began, in milliseconds since 1970, so that a reused process id is not taken for it; 0 if none."""
    try:
        return round(psutil.Process(pid).create_time() * 1000)
    except psutil.Error:
        return 0
