"""Runs as rows, for spreadsheets and data frames: ``pandas.DataFrame(run_rows(runs))``."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gaudi_perf.stores.files import write_atomic
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.measurement import Run
from gaudi_perf.vocabulary.summary import RunSummary, summarize

Cell = str | int | float | bool | None
Row = dict[str, Cell]


def run_rows(runs: Iterable[Run | RunSummary]) -> Iterator[Row]:
    """One row a run. Durations are in seconds, memory in bytes."""
    for run in map(_summary, runs):
        yield {
            **_identity(run),
            "rounds": len(run.latencies_s),
            "latency_median_s": float(run.level_s),
            "latency_min_s": min(run.latencies_s),
            "latency_max_s": max(run.latencies_s),
            "first_token_median_s": run.first_token_median_s,
            "per_output_token_median_s": run.per_output_token_median_s,
            "peak_memory_bytes": run.peak_memory_bytes,
            "graph_compilation_s": run.graph_compilation_s,
            "warm_up_rounds": run.warm_up_rounds,
            "steady": run.steady,
            "valid": run.valid,
            "problems": "; ".join(run.problems),
            "host_load": run.host_load,
            "steal_percent": run.steal_percent,
        }


def round_rows(runs: Iterable[Run | RunSummary]) -> Iterator[Row]:
    """One row a round, in order. Durations are in seconds."""
    for run in map(_summary, runs):
        identity = _identity(run)
        for index, latency in enumerate(run.latencies_s):
            yield {
                **identity,
                "round": index,
                "latency_s": latency,
                "probe_s": None if run.probes_s is None else run.probes_s[index],
                "valid": run.valid,
            }


def write_csv(path: Path, rows: Iterable[Mapping[str, Cell]]) -> int:
    """Write rows as CSV (RFC 4180, UTF-8) with a header; all rows have the columns of the first.

    Returns:
        How many rows.

    Raises:
        UserError: the file cannot be written; an older one is kept.
    """
    count = 0

    def counted() -> Iterator[Mapping[str, Cell]]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    write_atomic(path, csv_text(counted()).encode("utf-8", "backslashreplace"))
    return count


def write_parquet(path: Path, rows: Iterable[Mapping[str, Cell]]) -> int:
    """Write rows as Parquet, for pandas and its like; needs pyarrow.

    Columns have the same types in every file: texts, whole numbers, seconds as floats, truth values.

    Returns:
        How many rows.

    Raises:
        UserError: pyarrow is not installed, or the file cannot be written; an older one is kept.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install 'gaudi-perf[parquet]', or write CSV")
    import pyarrow
    from pyarrow import parquet

    buffer = pyarrow.BufferOutputStream()
    writer = None
    count = 0
    for chunk in _chunks(rows, 50_000):
        schema = pyarrow.schema([(name, getattr(pyarrow, _column_type(name))()) for name in chunk[0]])
        if writer is None:
            writer = parquet.ParquetWriter(buffer, schema, compression="zstd")
        writer.write_table(pyarrow.Table.from_pylist(list(chunk), schema=schema))
        count += len(chunk)
    if writer is None:
        raise UserError(f"{path}: there are no rows to write")
    writer.close()
    write_atomic(path, buffer.getvalue().to_pybytes())
    return count


_WHOLE_NUMBERS = ("devices", "new_tokens", "batch_size", "rounds", "round", "peak_memory_bytes", "warm_up_rounds")
_TRUTH_VALUES = ("graphs", "kv_cache", "steady", "valid")
_SHARES = ("host_load", "steal_percent")


def _column_type(name: str) -> str:
    if name in _WHOLE_NUMBERS:
        return "int64"
    if name in _TRUTH_VALUES:
        return "bool_"
    return "float64" if name.endswith("_s") or name in _SHARES else "string"


def _chunks(rows: Iterable[Mapping[str, Cell]], size: int) -> Iterator[Sequence[Mapping[str, Cell]]]:
    remaining = iter(rows)
    while chunk := list(itertools.islice(remaining, size)):
        yield chunk


def csv_text(rows: Iterable[Mapping[str, Cell]], lineterminator: str = "\r\n") -> str:
    """Rows as CSV with a header; all rows have the columns of the first."""
    text = io.StringIO(newline="")
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, fieldnames=list(row), lineterminator=lineterminator)
            writer.writeheader()
        writer.writerow({name: spreadsheet_safe(cell) for name, cell in row.items()})
    return text.getvalue()


def spreadsheet_safe(cell: Cell) -> Cell:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before a text that begins like one.

    OWASP, "CSV Injection": texts that begin with ``=``, ``+``, ``-``, ``@``, a tab or a line's end are evaluated.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def _summary(run: Run | RunSummary) -> RunSummary:
    return run if isinstance(run, RunSummary) else summarize(run)


def _identity(run: RunSummary) -> Row:
    case, workload = run.case, run.case.workload
    return {
        "run_id": run.run_id,
        "session_id": run.session_id,
        "started_at": run.started_at,
        "case": case.id,
        "model": case.configuration.model,
        "devices": case.configuration.devices,
        "graphs": case.configuration.graphs,
        "kv_cache": case.configuration.kv_cache,
        "scale": case.scale,
        "weights": case.weights,
        "dtype": workload.dtype,
        "new_tokens": workload.new_tokens,
        "batch_size": workload.batch_size,
        "device": run.device.name,
        "stack": run.stack.name,
        "host_class": run.host_class,
    }
