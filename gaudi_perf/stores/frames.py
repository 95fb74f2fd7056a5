"""Runs as data frames of pandas, and frames as files. pandas takes long to import, so functions import it."""

from __future__ import annotations

import importlib.util
import io
import itertools
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_perf.stores.files import write_atomic
from gaudi_perf.stores.history import read_history
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import escaped
from gaudi_perf.vocabulary.run import Run, median_of

if TYPE_CHECKING:
    import pandas

_TYPES = {
    **dict.fromkeys(("devices", "new_tokens", "batch_size", "rounds", "round", "warm_up_rounds"), "int64"),
    **dict.fromkeys(("graphs", "kv_cache", "steady", "valid"), "bool"),
    **dict.fromkeys(("host_load", "steal_percent", "tokens_per_s"), "float64"),
    "peak_memory_bytes": "Int64",
}
"""Types of columns; durations, which end with ``_s``, are floats, and all others are texts."""


def history(directory: str | os.PathLike[str]) -> pandas.DataFrame:
    """Every run under a results directory as a data frame, a row a run; ``UserError`` if there is no such directory."""
    return runs_frame(read_history(Path(directory)).runs)


def runs_frame(runs: Iterable[Run]) -> pandas.DataFrame:
    """One row a run, in their order. Durations are in seconds, memory in bytes."""
    return _frame(
        {
            **_identity(run),
            "rounds": len(run.measurement.latencies_s),
            "latency_median_s": run.level_s,
            "latency_min_s": min(run.measurement.latencies_s),
            "latency_max_s": max(run.measurement.latencies_s),
            "tokens_per_s": run.case.workload.tokens_per_s(run.level_s),
            "first_token_median_s": median_of([run], "first-token"),
            "per_output_token_median_s": median_of([run], "per-token"),
            "peak_memory_bytes": run.measurement.peak_memory_bytes,
            "graph_compilation_s": median_of([run], "compilation"),
            "warm_up_rounds": len(run.measurement.warm_up.latencies_s),
            "steady": run.steady,
            "valid": run.valid,
            "problems": "; ".join(run.problems),
            "host_load": run.host.load,
            "steal_percent": run.host.steal_percent,
        }
        for run in runs
    )


def rounds_frame(runs: Iterable[Run]) -> pandas.DataFrame:
    """One row a round, in order. Durations are in seconds."""
    runs = list(runs)
    rounds = [run.measurement.latencies_s for run in runs]
    probes = [run.measurement.probes_s or [math.nan] * len(run.measurement.latencies_s) for run in runs]
    frame = _frame({**_identity(run), "valid": run.valid} for run in runs)
    texts = _texts(frame)
    frame = frame.astype(dict.fromkeys(texts, "category"))  # millions of rows with few texts
    index = frame.index.repeat([len(latencies) for latencies in rounds])
    repeated: pandas.DataFrame = frame.loc[index].reset_index(drop=True)
    repeated["round"] = [index for latencies in rounds for index in range(len(latencies))]
    repeated["latency_s"] = list(itertools.chain.from_iterable(rounds))
    repeated["probe_s"] = list(itertools.chain.from_iterable(probes))
    repeated["valid"] = repeated.pop("valid")  # last
    return repeated


def csv_text(frame: pandas.DataFrame, lineterminator: str = "\r\n") -> str:
    """A frame as CSV (RFC 4180) with a header."""
    texts = _texts(frame)
    safe = frame.assign(**{name: frame[name].map(spreadsheet_safe) for name in texts})
    return str(safe.to_csv(index=False, lineterminator=lineterminator))


def write_csv(path: Path, frame: pandas.DataFrame) -> None:
    """Write a frame as ``csv_text`` in UTF-8; ``UserError`` if it cannot be written, and an older file is kept."""
    write_atomic(path, csv_text(frame).encode("utf-8", "backslashreplace"))


def write_parquet(path: Path, frame: pandas.DataFrame) -> None:
    """Write a frame as Parquet; columns have the same types in every file.
    Raises UserError if pyarrow is not installed, or the file cannot be written; an older one is kept.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install pyarrow, or write CSV")
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", compression="zstd", index=False)
    write_atomic(path, buffer.getvalue())


def spreadsheet_safe(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): an apostrophe goes before a text that
    begins like one. It is on one line, and ``escaped``.
    """
    if not isinstance(cell, str):
        return cell
    shown = escaped(cell)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _frame(rows: Iterable[dict[str, Any]]) -> pandas.DataFrame:
    import pandas

    frame = pandas.DataFrame.from_records(list(rows))
    names = [str(name) for name in frame.columns]
    types = {name: _TYPES.get(name, "float64" if name.endswith("_s") else "object") for name in names}
    typed: pandas.DataFrame = frame.astype(types)
    return typed


def _texts(frame: pandas.DataFrame) -> list[str]:
    """Columns of texts, whatever type this version of pandas gives them."""
    return [str(name) for name, kind in frame.dtypes.items() if kind.name in ("object", "str", "category")]


def _identity(run: Run) -> dict[str, Any]:
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
        "options": case.options,
        "dtype": workload.dtype,
        "new_tokens": workload.new_tokens,
        "batch_size": workload.batch_size,
        "device": run.device.name,
        "stack": run.stack.name,
        "host_class": run.host.host_class,
    }
