"""Local files of prompts: CSV, JSON Lines, Parquet and text, as data frames."""

from __future__ import annotations

import codecs
import importlib.util
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gaudi_perf.stores.files import read_bytes, require_readable
from gaudi_perf.vocabulary.dataset import FILE_KINDS, FileKind
from gaudi_perf.vocabulary.documents import require_unique_keys, sentence
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted

if TYPE_CHECKING:
    from pandas import DataFrame

LARGEST_FILE = 256 << 20
"""Bytes of a file of prompts: a million of 256 characters."""
LARGEST_TABLE = 4_000_000, 10_000, 40_000_000
"""Rows (of CSV and text, lines), columns, and cells: what is read of them fits in a GiB, about."""


def is_local(source: str) -> bool:
    """Whether a dataset is a local file, there or not; else it is looked for on the hub."""
    path = Path(source)
    return path.suffix.lower() in FILE_KINDS or path.is_absolute() or (path.exists() and not path.is_dir())


def check_file(path: Path, option: str) -> FileKind:
    """The kind of a file that can be read here, by its name; nothing of its content is read.
    Raises UserError, which begins with ``option``, if there is no such file, its kind is not known, or what reads it is
    not installed.
    """
    kind = FILE_KINDS.get(path.suffix.lower())
    if not path.exists():
        raise UserError(f"{option}: there is no such file")
    if kind is None:
        raise UserError(f"{option}: is no {', '.join(sorted(FILE_KINDS))} file")
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{option}: Parquet is read by pyarrow, which is not installed: pip install pyarrow")
    require_readable(path, LARGEST_FILE)
    return kind


def require_library(option: str) -> None:
    """Raise UserError where datasets of the hub cannot be read here, for want of the library that does."""
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            f"{option}: no local file, and datasets of the hub are read by the library datasets, which is not "
            'installed: pip install "datasets>=4,<5", or name a file'
        )


def read_file(path: Path, option: str) -> DataFrame:
    """The rows of a file; of a text file its lines, in the column ``text``.
    Raises UserError if the file cannot be read, has more than ``LARGEST_FILE`` bytes, or is not of its kind.
    """
    import pandas

    kind = check_file(path, option)
    data = read_bytes(path, LARGEST_FILE).removeprefix(codecs.BOM_UTF8)
    try:
        rows: DataFrame
        if kind == "text":
            _require_bounded(data.count(b"\n"), 1)
            rows = pandas.DataFrame({"text": [line.decode() for line in data.splitlines()]})
        elif kind == "json":
            objects = _objects(data)
            _require_bounded(len(objects), len(set().union(*objects)))
            rows = pandas.DataFrame(objects)
        elif kind == "parquet":
            from pyarrow import parquet

            metadata = parquet.read_metadata(io.BytesIO(data))
            _require_bounded(metadata.num_rows, metadata.num_columns)
            rows = pandas.read_parquet(io.BytesIO(data))
        else:  # "NA" and "None" are words of a prompt
            _require_bounded(data.count(b"\n"), data.partition(b"\n")[0].count(b",") + 1)
            _require_unique_columns(data)
            rows = pandas.read_csv(io.BytesIO(data), keep_default_na=False, na_values=[""], low_memory=False)
            if not isinstance(rows.index, pandas.RangeIndex):  # pandas takes the first columns for names of the rows
                raise ValueError("its rows have more columns than its first line names: is a comma not in quotes?")
        if not len(rows):
            raise ValueError("it has no rows")
        return rows
    except Exception as error:  # whatever a reader of foreign files raises
        reason = sentence(error) or type(error).__name__
        remedy = "is it whole, and of the kind that its name says?"
        raise UserError(f"{option}: cannot be read ({reason}): {remedy}") from None


def column_kinds(rows: DataFrame) -> dict[str, str]:
    """What each column holds: ``string``, or the name of another type."""
    from pandas.api.types import infer_dtype

    def kind(column: Any) -> str:
        values = column.astype(object) if column.dtype == "category" else column
        return "string" if infer_dtype(values, skipna=True) == "string" else str(column.dtype)

    return {str(name): kind(rows[name]) for name in rows.columns}


def texts(rows: DataFrame, column: str) -> list[str]:
    """The texts of a column; empty ones where the file has nothing."""
    return ["" if value is None or value != value else str(value) for value in rows[column].tolist()]  # NaN differs


def _require_bounded(rows: int, columns: int) -> None:
    """ValueError where a small file would become a huge table."""
    if any(found > most for found, most in zip((rows, columns, rows * columns), LARGEST_TABLE, strict=True)):
        raise ValueError(f"{counted(rows, 'row')} of {counted(columns, 'column')} are too many: split it")


def _require_unique_columns(data: bytes) -> None:
    """ValueError where two columns of a CSV have the same name: pandas would give the second another."""
    import pandas

    first = pandas.read_csv(io.BytesIO(data), header=None, nrows=1, dtype=str, keep_default_na=False)
    twice = [name for name, count in Counter(first.iloc[0]).items() if name and count > 1]
    if twice:
        raise ValueError(f"its first line names the column {twice[0][:80]!r} more than once: rename one")


def _objects(data: bytes) -> list[dict[str, Any]]:
    """One list of objects, or an object a line."""
    kind = dict[str, Any]
    # Objects of a list may stand on one line, and their texts may have braces, too.
    whole = data.lstrip()[:1] == b"["
    _require_bounded(data.count(b"{") // 2 if whole else data.count(b"\n"), 1)
    if whole:
        rows = msgspec.json.decode(data, type=list[kind])
        require_unique_keys(data)
        return rows
    decoder = msgspec.json.Decoder(kind)
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            found += [decoder.decode(line)] if line.strip() else []
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from None
        if line.strip() and line.count(b":") > len(found[-1]):  # else no key is there twice
            require_unique_keys(line, number)
    return found
