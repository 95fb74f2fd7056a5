"""Runs as rows, for spreadsheets and data frames: ``pandas.DataFrame(run_rows(runs))``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median

from gaudi_perf.stores.files import write_atomic
from gaudi_perf.vocabulary.measurement import Run

Cell = str | int | float | bool | None
Row = dict[str, Cell]


def run_rows(runs: Iterable[Run]) -> Iterator[Row]:
    """One row a run. Durations are in seconds, memory in bytes."""
    for run in runs:
        measurement = run.measurement
        times = measurement.token_times
        compilation = measurement.graph_compilation
        yield {
            **_identity(run),
            "rounds": len(measurement.latencies_s),
            "latency_median_s": float(median(measurement.latencies_s)),
            "latency_min_s": min(measurement.latencies_s),
            "latency_max_s": max(measurement.latencies_s),
            "first_token_median_s": _median(times.first_token_s if times else []),
            "per_output_token_median_s": _median(times.per_output_token_s if times else []),
            "peak_memory_bytes": measurement.peak_memory_bytes,
            "graph_compilation_s": compilation.seconds if compilation else None,
            "warm_up_rounds": len(measurement.warm_up.latencies_s),
            "steady": measurement.warm_up.steady,
            "valid": measurement.valid,
            "problems": "; ".join(measurement.problems),
            "host_load": run.host.load,
            "steal_percent": run.host.steal_percent,
        }


def round_rows(runs: Iterable[Run]) -> Iterator[Row]:
    """One row a round, in order. Durations are in seconds."""
    for run in runs:
        probes = run.measurement.probes_s
        for index, latency in enumerate(run.measurement.latencies_s):
            yield {
                **_identity(run),
                "round": index,
                "latency_s": latency,
                "probe_s": None if probes is None else probes[index],
                "valid": run.measurement.valid,
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


def _identity(run: Run) -> Row:
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
        "host_class": run.host.host_class,
    }


def _median(values: list[float]) -> float | None:
    return float(median(values)) if values else None
