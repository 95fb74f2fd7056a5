"""Results and baselines at an address (``s3://``, ``gs://``, ``sftp://``): every machine works on a copy of its own.

The copy is brought up to date when a command or a session begins, and what is written goes to the address at once. Runs
and documents of sessions are never changed, so each is fetched once, nothing is locked, and many machines may write at
the same time. A run that could not be sent stays in the copy; whoever opens the address next sends it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from gaudi_perf.stores.files import exclusive, make_directory, read_bytes, write_atomic
from gaudi_perf.stores.results import RUN_PREFIX, SESSION_FILE
from gaudi_perf.vocabulary.documents import Document, decode, encode, sentence
from gaudi_perf.vocabulary.errors import UserError

CACHE_VARIABLE = "GAUDI_PERF_CACHE_DIR"
_MARKER = ".gaudi-perf-remote.json"
_LARGEST = 256 * 2**20
"""Bytes of a document; a larger one is left out."""
_AT_ONCE = 500
_PACKAGES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "sftp": "sftp", "ssh": "sftp"}
_INSTALL = {"s3": "s3fs", "gs": "gcsfs", "sftp": "fsspec paramiko"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "gs": {"use_listings_cache": False},
    "s3": {"use_listings_cache": False, "config_kwargs": {"connect_timeout": 15, "read_timeout": 60}},
    "sftp": {"timeout": 15},
}


class _Copy(Document, frozen=True, kw_only=True):
    """What a copy is of, and the state in which what may change was fetched."""

    address: str
    marks: dict[str, str] = {}


def is_address(text: str) -> bool:
    """Whether a directory is named by an address."""
    return "://" in text


def opened(address: str) -> Path:
    """The copy of an address, brought up to date; what was not sent yet is sent.
    Raises UserError if the address cannot be one, its package is not installed, or it cannot be reached.
    """
    copy = _cache() / hashlib.blake2b(address.rstrip("/").encode(), digest_size=8).hexdigest()
    with exclusive(copy):
        _Remote(address, copy).synchronize()
    return copy


def publish(directory: Path, path: Path) -> None:
    """Send a file of a copy to its address, ``UserError`` if that fails; of another directory nothing is sent."""
    if (copy := _known(directory)) is not None:
        _Remote(copy.address, directory).send([path])


def send_rest(directory: Path) -> str:
    """Send all runs that are in the copy alone; why some could not be sent, in a sentence, or empty."""
    copy = _known(directory)
    if copy is None:
        return ""
    try:
        remote = _Remote(copy.address, directory)
        remote.send_missing(remote.listing())
    except UserError as error:
        return f"{error}; what was measured is kept in {directory} and sent when {copy.address} is opened the next time"
    return ""


class _Remote:
    def __init__(self, address: str, copy: Path) -> None:
        self.address = address.rstrip("/")
        self.copy = copy
        with self._reached():
            import fsspec

            scheme = urlsplit(self.address).scheme
            self._files, self._root = fsspec.core.url_to_fs(
                self.address, skip_instance_cache=True, **_OPTIONS.get(_PACKAGES.get(scheme, ""), {})
            )
            self._root = self._root.rstrip("/")
            self._renames = hasattr(self._files, "ftp") or scheme == "file"  # else a write is seen when it is whole

    def listing(self) -> dict[str, Mapping[str, Any]]:
        """What there is, by its name below the address."""
        with self._reached():
            try:
                self._files.invalidate_cache()
                found = self._files.find(self._root, detail=True)
            except FileNotFoundError:
                return {}
        named = {path[len(self._root) :].strip("/"): facts for path, facts in found.items()}
        return {name: facts for name, facts in named.items() if _safe(name) and (facts.get("size") or 0) <= _LARGEST}

    def synchronize(self) -> None:
        known = _known(self.copy) or _Copy(address=self.address)
        if known.address != self.address:
            raise UserError(f"{self.copy / _MARKER}: is the copy of {known.address}: remove {self.copy}")
        there = self.listing()
        marks = {name: _mark(facts) for name, facts in there.items() if not _immutable(name)}
        wanted = [
            name
            for name in there
            if not (self.copy / name).exists() or (name in marks and known.marks.get(name) != marks[name])
        ]
        for start in range(0, len(wanted), _AT_ONCE):
            self._fetch(wanted[start : start + _AT_ONCE], there)
        for name in set(self._local()) - set(there):
            if not _immutable(name):  # somebody removed it, or it could not be sent
                (self.copy / name).unlink(missing_ok=True)
        write_atomic(self.copy / _MARKER, encode(_Copy(address=self.address, marks=marks)))
        self.send_missing(there)

    def send_missing(self, there: Mapping[str, object]) -> None:
        self.send([self.copy / name for name in self._local() if _immutable(name) and name not in there])

    def send(self, paths: Iterable[Path]) -> None:
        for path in paths:
            name = path.relative_to(self.copy).as_posix()
            target = f"{self._root}/{name}"
            with self._reached():
                if not self._renames:
                    self._files.put_file(str(path), target)
                    continue
                self._files.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
                part = f"{target}.{os.getpid()}.tmp"
                self._files.put_file(str(path), part)
                connection = getattr(self._files, "ftp", None)
                connection.posix_rename(part, target) if connection else self._files.mv(part, target)

    def _fetch(self, names: list[str], there: Mapping[str, Mapping[str, Any]]) -> None:
        with tempfile.TemporaryDirectory(dir=self.copy, prefix=".fetched-") as folder:
            parts = [os.path.join(folder, str(number)) for number in range(len(names))]
            with self._reached():
                self._files.get([f"{self._root}/{name}" for name in names], parts)
                for name, part in zip(names, parts, strict=True):  # paramiko takes a lost connection for a file's end
                    size, whole = os.path.getsize(part), there[name].get("size")
                    if whole not in (None, size):
                        raise OSError(f"{name} has {size} of {whole} bytes")
            for name, part in zip(names, parts, strict=True):
                make_directory((self.copy / name).parent)
                os.replace(part, self.copy / name)

    def _local(self) -> list[str]:
        found = (Path(folder, file) for folder, _, files in os.walk(self.copy) for file in files)
        names = (path.relative_to(self.copy).as_posix() for path in found)
        return [name for name in names if _safe(name)]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Whatever goes wrong on the way is one sentence: packages of each protocol have errors of their own."""
        try:
            yield
        except UserError:
            raise
        except ImportError:
            extra = _PACKAGES.get(urlsplit(self.address).scheme)
            what = f"pip install {_INSTALL[extra]}" if extra else "install the fsspec package of this protocol"
            raise UserError(f"{self.address}: its protocol is not installed: {what}") from None
        except Exception as error:
            why = sentence(error)[:200] or type(error).__name__
            raise UserError(f"{self.address}: cannot be reached, or breaks off ({why}): try again") from None


def _known(directory: Path) -> _Copy | None:
    """What a directory is the copy of; None if of nothing."""
    path = directory / _MARKER
    return decode(read_bytes(path), _Copy, str(path)) if path.exists() else None


def checked(address: str) -> str:
    """An address, if it can be one; ValueError if not, and UserError, without it, if it holds a password."""
    parts = urlsplit(address)
    if parts.password is not None:
        raise UserError(
            f"the {parts.scheme}:// address holds a password: give it by the protocol's own variables or keys"
        )
    if not (parts.scheme and parts.netloc and address.isprintable()) or parts.query or parts.fragment:
        raise ValueError("it takes an address like s3://bucket/results or sftp://host/srv/results")
    return address


def _safe(name: str) -> bool:
    parts = name.split("/")
    return name.endswith((".json", ".log")) and not any(part in ("", "..") or part.startswith(".") for part in parts)


def _immutable(name: str) -> bool:
    last = PurePosixPath(name).name
    return last.startswith(RUN_PREFIX) or last == SESSION_FILE or last.endswith(".log")


def _mark(facts: Mapping[str, Any]) -> str:
    """What changes when an object does."""
    return "|".join(str(facts.get(key, "")) for key in ("ETag", "md5Hash", "size", "mtime", "LastModified"))


def _cache() -> Path:
    own = os.environ.get(CACHE_VARIABLE)
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaudi-perf"
    return base / "remote"
