"""A private directory for the sockets and logs of a session, and the removal of those that killed sessions left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import psutil

from gaudi_perf.vocabulary.errors import UserError

_PREFIX = "gaudi-perf-"
_SOCKET_PATH_LIMIT = 107  # bytes; sockaddr_un of Linux holds 108, the last of them zero
LONGEST_SOCKET = "0/group999/socket"
"""The longest path of a socket in here: those of the sides of a session, and of their groups, one after the other."""
_DOING = "doing"
_LONGEST_NOTE = 200


class Workspace:
    """A directory that only its owner may enter (mode 0700), named after the process that made it.

    Making one removes those that killed sessions left; ``earlier`` has a sentence for each. It lies in that for
    temporary files by default. Raises UserError if none can be made there, or its path is too long for sockets.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        self.earlier = [_killed(path, doing) for path, doing in remove_abandoned(parent).items()]
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{_started(os.getpid())}-", dir=parent))
        except OSError as error:
            raise UserError(f"no private directory can be made in {parent}: {error.strerror}; set TMPDIR") from None
        self._held = _locked(self.path)
        longest = len(os.fsencode(self.path / LONGEST_SOCKET))
        if longest > _SOCKET_PATH_LIMIT:
            self.close()
            raise UserError(
                f"the temporary directory {parent} is too long for sockets in it (paths of {longest} bytes, of which "
                f"{_SOCKET_PATH_LIMIT} are permitted): set TMPDIR to a shorter"
            )

    def doing(self, text: str) -> None:
        """Note what the session is at, for the next one, should this one be killed."""
        with contextlib.suppress(OSError):  # a full disk is reported where it matters
            (self.path / _DOING).write_text(text[:_LONGEST_NOTE])

    def close(self) -> None:
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None


def remove_abandoned(parent: Path) -> dict[Path, str]:
    """Remove this user's workspaces whose process is gone; returns what each session was at, as far as it had noted.

    A process that is not to be seen may live all the same, in a container that shares the directory; and the times of
    processes move with the system's clock. So what a process holds locked is kept.
    """
    removed = {}
    for path in parent.glob(f"{_PREFIX}*-*-*"):
        try:
            pid, started = _maker(path)
            mine = path.lstat().st_uid == os.getuid() and not path.is_symlink()
            if not mine or started == _started(pid):
                continue
            held = _locked(path)
        except (ValueError, OSError):  # BlockingIOError: it is locked
            continue
        removed[path] = _noted(path)
        shutil.rmtree(path, ignore_errors=True)
        if held is not None:
            os.close(held)
    return removed


def _killed(path: Path, doing: str) -> str:
    pid, started = _maker(path)
    begun = datetime.fromtimestamp(started / 1000, timezone.utc)
    at = f" at: {doing}" if doing else ""
    return (
        f"an earlier session (process {pid}, begun {begun:%Y-%m-%dT%H:%M:%SZ}) was killed before its end{at}; what it "
        "left is removed"
    )


def _noted(path: Path) -> str:
    try:
        with (path / _DOING).open(errors="replace") as file:
            text = file.read(_LONGEST_NOTE)
    except OSError:
        return ""
    return "".join(character if character.isprintable() else "?" for character in text)


def _locked(path: Path) -> int | None:
    """A descriptor that holds a lock on a directory; None without locks; BlockingIOError if another process has it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _maker(path: Path) -> tuple[int, int]:
    """The process that made a workspace, and when that began, in milliseconds since 1970."""
    pid, started = path.name[len(_PREFIX) :].split("-")[:2]
    return int(pid), int(started)


def _started(pid: int) -> int:
    """When a process began, in milliseconds since 1970, so that a reused process id is not taken for it; 0 if none."""
    try:
        return round(psutil.Process(pid).create_time() * 1000)
    except psutil.Error:
        return 0
