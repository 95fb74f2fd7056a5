"""Writing whole files: under a temporary name beside, flushed, and renamed, which POSIX makes atomic; flushing the
directory makes it last (``rename(2)``, ``fsync(2)``). A reader sees the old file or the new one, whatever happens.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from gaudi_perf.vocabulary.errors import UserError

TEMPORARY_PREFIX = ".gaudi-perf-"
TEMPORARY_SUFFIX = ".tmp"
LARGEST_BYTES = 64 << 20
"""Of a document. A run of 100,000 rounds on 8 ranks takes 20 MiB."""
LOCK_SECONDS = 60.0
"""How long to wait for another writer; a refresh takes milliseconds."""

_REMEDIES = {
    errno.ENOSPC: "free some space on this disk and try again",
    errno.EDQUOT: "free some of your quota on this disk and try again",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "make the directory writable for this user, or name another one"),
    errno.EROFS: "the file system is read-only: name another directory",
    errno.ENOTDIR: "a part of this path is a file: name another directory",
    errno.EEXIST: "there is something else of this name: name another directory",
    errno.ENOENT: "create the directory, or name another",
    errno.EISDIR: "there is a directory of this name: move it away",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


def write_atomic(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Put ``data`` in the place of the file, whole and (unless it can be made again) lasting, or leave it as it is.

    A symbolic link is followed. The mode of the new file is what the umask gives. What is no file (``/dev/stdout``,
    ``/dev/null``, a pipe) is written to and stays what it is.
    Raises UserError if the disk is full, or the place is not writable; the file is what it was before.
    """
    target = Path(os.path.realpath(path))
    kept = "nothing was written"
    try:
        mode = None
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            mode = path.stat().st_mode
        if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kept = "some of it may be written"
            path.write_bytes(data)
            return
        kept = "nothing was written" if mode is None else "the old file is kept whole"
        with _temporary(target.parent, data, lasting) as temporary:
            os.replace(temporary, target)
        kept = "the new file is in its place, but may not outlast a power failure"
        if lasting:
            _sync_directory(target.parent)
    except OSError as error:
        raise UserError(failure_sentence(path, "cannot be written", error, kept)) from None


def write_new(path: Path, data: bytes) -> None:
    """Create a file that never changes afterwards, whole and lasting.
    Raises UserError if the file is there already, the disk is full, or the place is not writable; nothing has changed.
    """
    try:
        with _temporary(path.parent, data) as temporary:
            _name_once(temporary, path)
        _sync_directory(path.parent)
    except FileExistsError:
        raise UserError(f"{path}: is there already and is never overwritten") from None
    except OSError as error:
        raise UserError(failure_sentence(path, "cannot be written", error, "nothing was written")) from None


def make_directory(path: Path, *, private: bool = False) -> None:
    """Create a directory, and those above it, unless it is there; ``UserError`` if that fails.

    A ``private`` one is for this user alone; one that is there keeps its mode.
    """
    try:
        path.mkdir(0o700 if private else 0o777, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(failure_sentence(path, "cannot be created", error, "nothing was written")) from None


def directories(parent: Path, kept: str) -> list[str]:
    """The names of the directories in one, and of links to such, in alphabetical order; empty if there is no parent.
    Raises UserError if it cannot be read; the sentence says what was ``kept``.
    """
    try:
        with os.scandir(parent) as entries:  # at a link that leads to itself DirEntry.is_dir raises
            found = [one for one in entries if one.is_dir(follow_symlinks=False) or os.path.isdir(one.path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(failure_sentence(parent, "cannot be read", error, kept)) from None
    return sorted(one.name for one in found)


def is_utf8(name: str) -> bool:
    """Whether a document can hold the name of a file, which may be any bytes."""
    return name == name.encode(errors="ignore").decode()


def read_bytes(path: str | Path, largest: int = LARGEST_BYTES) -> bytes:
    """The content of a file; raises what ``require_readable`` does."""
    with _opened(path, largest) as (descriptor, size):
        content = os.read(descriptor, size + 1)
        while len(content) > size and (more := os.read(descriptor, max(largest - len(content), 0))):
            content += more  # it grew
        return content


def require_readable(path: Path, largest: int = LARGEST_BYTES) -> None:
    """Raise UserError if a file cannot be read, is no file (a pipe, a device: reading one may never end), or has more
    than so many bytes.
    """
    with _opened(path, largest):
        pass


@contextlib.contextmanager
def _opened(path: str | Path, largest: int) -> Iterator[tuple[int, int]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer opens at once
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path}: is no regular file: remove it, or name another")
            if status.st_size > largest:
                raise UserError(f"{path}: has more than {largest >> 20} MiB, which is too much to read: name another")
            yield descriptor, status.st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


@contextlib.contextmanager
def exclusive(directory: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Keep other processes that ask for the same out of a directory (created if need be) while it is changed.

    The lock is on the directory itself, so that no lock file lies around; the system releases it when the process ends,
    however it ends. File systems that cannot lock a directory (NFS) get a hidden file ``.lock``.
    Raises UserError if the directory cannot be created or opened, or another process holds it for so many seconds.
    """
    make_directory(directory)
    try:
        descriptor = _locked(directory, time.monotonic() + seconds)
    except OSError as error:
        raise UserError(failure_sentence(directory, "cannot be locked", error, "nothing was written")) from None
    if descriptor is None:
        raise UserError(
            f"{directory}: another process has been writing here for {seconds:g} seconds; nothing was written: "
            "let it end, then try again"
        )
    try:
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of writers that were killed. Only for who holds the directory's lock."""
    for path in directory.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        _remove(path)


def failure_sentence(path: Path, what: str, error: OSError, kept: str) -> str:
    """One sentence on a failed system call: the path, the reason, what was kept, the remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "mend this and try again")
    return f"{path}: {what} ({error.strerror or error}); {kept}: {remedy}"


@contextlib.contextmanager
def _temporary(directory: Path, data: bytes, lasting: bool = True) -> Iterator[str]:
    """A file with this content, on the disk if it is to last; it is removed afterwards where it was not renamed."""
    name = f"{TEMPORARY_PREFIX}{os.getpid()}-{os.urandom(6).hex()}{TEMPORARY_SUFFIX}"
    temporary = os.path.join(directory, name)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            if lasting:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield temporary
    finally:
        _remove(temporary)


def _name_once(temporary: str, path: Path) -> None:
    """Give a temporary file its name unless there is such a file: ``link`` fails where ``rename`` would replace."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if path.exists():  # this file system has no links; names of runs are unique, so nobody races for one
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(temporary, path)


def _remove(path: str | Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):  # some file systems cannot
            raise
    finally:
        os.close(descriptor)


def _locked(directory: Path, deadline: float) -> int | None:
    """A descriptor that holds the lock, or None if another process has it until the deadline."""
    lock_file = directory / ".lock"  # on NFS an exclusive lock needs a file that is open for writing
    for path, flags in ((directory, os.O_RDONLY | os.O_DIRECTORY), (lock_file, os.O_RDWR | os.O_CREAT)):
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        held = False
        try:
            held = _flock(descriptor, deadline)
            return descriptor if held else None
        except OSError as error:
            if path == lock_file or error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
        finally:
            if not held:
                os.close(descriptor)
    return None


def _flock(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
