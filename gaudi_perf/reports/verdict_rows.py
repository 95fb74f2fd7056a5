"""The verdicts of a session as rows, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas

from gaudi_perf.reports.figures import figures
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.wording import advice, grounds
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict

_FIGURES = (
    *("runs", "rounds", "latency_s", "spread", "tokens_per_s", "first_token_s", "per_output_token_s"),
    *("peak_memory_bytes", "steady"),
)
_VERDICT = ("metric", "role", "baseline", "ratio", "low", "high", "confidence", "tolerance")


def verdicts_frame(session: Session, runs: Mapping[str, Sequence[Run]]) -> pandas.DataFrame:
    """One row for every verdict, and one for every case that has none. Durations are in seconds, memory in bytes."""
    none: list[Verdict | None] = [None]
    rows = [
        {
            name: harmless(value) if isinstance(value, str) else value
            for name, value in _row(session, report, verdict, runs.get(report.case.id)).items()
        }
        for report in session.cases
        for verdict in report.verdicts or none
    ]
    integers = dict.fromkeys(("runs", "rounds", "peak_memory_bytes"), "Int64")
    frame: pandas.DataFrame = pandas.DataFrame.from_records(rows).astype(integers)
    return frame


def _row(session: Session, report: CaseReport, verdict: Verdict | None, runs: Sequence[Run] | None) -> dict[str, Any]:
    configuration = report.case.configuration
    measured = asdict(figures(runs)) if runs else {}
    return {
        "session_id": session.session_id,
        "started_at": session.started_at,
        "case": report.case.id,
        "model": configuration.model,
        "devices": configuration.devices,
        "graphs": configuration.graphs,
        "kv_cache": configuration.kv_cache,
        "scale": report.case.scale,
        "skipped": report.skipped,
        "failed": report.failed,
        "waived": report.waived,
        "device": runs[0].device.name if runs else None,
        "stack": runs[0].stack.name if runs else None,
        **{name: measured.get(name) for name in _FIGURES},
        "verdict": verdict.kind.value if verdict else None,
        **{name: getattr(verdict, name, None) for name in _VERDICT},
        "smallest_visible_slowdown": verdict.smallest_visible_slowdown if verdict else None,
        "baseline_s": verdict.baseline_median_s if verdict else None,
        "reason": grounds(verdict) if verdict else None,
        "advice": advice(verdict, waived=bool(report.waived)) if verdict else None,
    }
