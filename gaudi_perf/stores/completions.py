"""Completions of a dataset as JSON Lines: a header, then a line for each batch. A batch is a single write, so that at
most one torn line is at the end, which the next run removes before it continues.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gaudi_perf.stores.files import LARGEST_BYTES, failure_sentence, write_atomic
from gaudi_perf.vocabulary.dataset import Batch, CompletionHeader
from gaudi_perf.vocabulary.documents import DocumentT, Name, encode_line, fits, require_unique_keys
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import short

_SEPARATOR = "-" * 64


class CompletionsFile:
    """A file of completions that one process writes at a time. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = 0
        self._file: int | None = None
        self._made = False

    def __enter__(self) -> CompletionsFile:
        """Take the file before anything starts whose completions would have no place; unless used it goes again.
        Raises UserError if it is no regular file, in use by another process, or not writable.
        """
        layout_path(self.path)  # refused now, not when all is completed
        self._made = not os.path.lexists(self.path)
        try:
            self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
            regular = stat.S_ISREG(os.fstat(self._file).st_mode)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._close()
            busy = isinstance(error, BlockingIOError)
            why = "another process writes there" if busy else f"cannot be written ({error.strerror})"
            raise UserError(f"{self.path}: {why}: name another --output") from None
        if not regular:
            self._close()
            raise UserError(f"{self.path}: is no regular file, to which a later run could add: name another --output")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._made and self._file is not None and os.fstat(self._file).st_size == 0:
            self.path.unlink(missing_ok=True)
        self._close()

    def open(self, header: CompletionHeader) -> int:
        """Go on where the file stops; returns how many batches it holds.
        Raises UserError if the file is of other completions or malformed, or cannot be written, or the header holds a
        name that is too long.
        """
        assert self._file is not None
        for name in (header.dataset, header.column, header.split):
            if not fits(name, Name):
                raise UserError(f"{short(name)!r}: takes 1 to 200 letters as a dataset's, column's or split's name")
        try:
            whole, self.done = self._check(header)
            os.ftruncate(self._file, whole)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}): name another --output") from None
        if whole == 0:
            self._write(header)
        return self.done

    def append(self, batch: Batch) -> None:
        """Add the next batch: ``UserError`` if it cannot be written, ``ValueError`` if it is not the next one."""
        if batch.batch != self.done + 1:
            raise ValueError(f"batch {batch.batch} after batch {self.done}")
        self._write(batch)
        self.done += 1

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, document: msgspec.Struct) -> None:
        assert self._file is not None
        data = memoryview(encode_line(document))
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            kept = f"{self.done} batches are kept, and a later run goes on there"
            raise UserError(failure_sentence(self.path, "written", error, kept)) from None

    def _check(self, header: CompletionHeader) -> tuple[int, int]:
        """Bytes of whole lines, and batches among them."""
        whole, lines = 0, 0
        with self.path.open("rb") as file:
            while line := file.readline(LARGEST_BYTES):
                if not line.endswith(b"\n"):
                    if len(line) == LARGEST_BYTES:
                        raise UserError(
                            f"{self.path}, line {lines + 1}: is too long for a batch: name another --output"
                        )
                    if lines == 0 and not encode_line(header).startswith(line):
                        raise UserError(f"{self.path}: is there, and holds no completions: name another --output")
                    break
                if lines == 0:
                    self._require_same(_decode(self.path, 1, line, CompletionHeader), header)
                elif _decode(self.path, lines + 1, line, Batch).batch != lines:
                    raise UserError(f"{self.path}, line {lines + 1}: is not batch {lines}: delete the file, or mend it")
                whole, lines = whole + len(line), lines + 1
        return whole, max(lines - 1, 0)

    def _require_same(self, there: CompletionHeader, wanted: CompletionHeader) -> None:
        fields = ((name, getattr(there, name), getattr(wanted, name)) for name in wanted.__struct_fields__)
        differing = "; ".join(f"{name} {mine!r}, not {other!r}" for name, mine, other in fields if mine != other)
        if differing:
            remedy = "name another --output, or delete the file"
            raise UserError(f"{self.path}: holds other completions ({differing}): {remedy}")


def read_completions(path: Path) -> tuple[CompletionHeader, Iterator[Batch]]:
    """The header of a file, and its batches, in order.
    Raises UserError if the file cannot be read or is malformed; for a batch, when it is reached.
    """
    lines = _lines(path)
    header = _decode(path, *next(lines, (1, b"")), CompletionHeader)
    return header, (_decode(path, number, line, Batch) for number, line in lines if line.endswith(b"\n"))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from enumerate(file, 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def layout_path(path: Path) -> Path:
    """Where the text of a file of completions goes: beside it, in the place of nothing but such a text.
    Raises UserError if something else is there (a dataset, perhaps the one that is completed), or it cannot be read.
    """
    if not path.name:  # "" and "/"
        raise UserError(f"{path}: is a directory: name a file with --output")
    target = path.with_suffix(".txt")
    if target == path:
        raise UserError(f"{path}: the completions' text gets this name: let --output end with .jsonl")
    try:
        begin = b"no text"
        if stat.S_ISREG(target.stat().st_mode):  # reading a pipe may never end
            with target.open("rb") as file:
                begin = file.read(len(_SEPARATOR))
    except (FileNotFoundError, NotADirectoryError):
        return target
    except OSError as error:
        raise UserError(f"{target}: cannot be read ({error.strerror}): name another --output") from None
    if begin and begin != _SEPARATOR.encode():
        raise UserError(f"{target}: is there, and the completions' text would take its place: name another --output")
    return target


def write_layout(path: Path) -> Path:
    """Write the completions of a file as text, in the layout of the article's script; returns where."""
    target = layout_path(path)
    _, batches = read_completions(path)
    texts = (f"{_SEPARATOR}\nBatch n°{one.batch}\nInput: {one.inputs}\nOutput: {one.outputs}\n" for one in batches)
    write_atomic(target, "".join(texts).encode())
    return target


def _decode(path: Path, number: int, line: bytes, kind: type[DocumentT]) -> DocumentT:
    with contextlib.suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        found = msgspec.json.decode(line, type=kind)
        require_unique_keys(line, number)
        return found
    raise UserError(f"{path}, line {number}: is no {kind.__name__}: delete the file, or mend the line")
