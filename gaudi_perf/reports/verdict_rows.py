"""The verdicts of a session as rows, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gaudi_perf.reports.figures import figures
from gaudi_perf.reports.wording import advice, reason
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict

if TYPE_CHECKING:
    import pandas


_Row = dict[str, Any]


def verdicts_frame(session: Session, runs: Mapping[str, Sequence[Run]]) -> pandas.DataFrame:
    """One row for every verdict, and one for every case that has none. Durations are in seconds, memory in bytes."""
    import pandas

    none: list[Verdict | None] = [None]
    frame: pandas.DataFrame = pandas.DataFrame.from_records(
        [
            {**_case(session, report), **_figures(runs.get(report.case.id)), **_verdict(verdict)}
            for report in session.cases
            for verdict in report.verdicts or none
        ]
    ).astype({"runs": "Int64", "rounds": "Int64", "peak_memory_bytes": "Int64"})
    return frame


def _case(session: Session, report: CaseReport) -> _Row:
    configuration = report.case.configuration
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
    }


def _figures(runs: Sequence[Run] | None) -> _Row:
    facts = figures(runs) if runs else None
    return {
        "device": runs[0].device.name if runs else None,
        "stack": runs[0].stack.name if runs else None,
        "runs": facts.runs if facts else None,
        "rounds": facts.rounds if facts else None,
        "latency_s": facts.latency_s if facts else None,
        "spread": facts.spread if facts else None,
        "tokens_per_s": facts.tokens_per_s if facts else None,
        "first_token_s": facts.first_token_s if facts else None,
        "per_output_token_s": facts.per_output_token_s if facts else None,
        "peak_memory_bytes": facts.peak_memory_bytes if facts else None,
        "steady": facts.steady if facts else None,
    }


def _verdict(verdict: Verdict | None) -> _Row:
    return {
        "verdict": verdict.kind.value if verdict else None,
        "metric": verdict.metric if verdict else None,
        "role": verdict.role if verdict else None,
        "baseline": verdict.baseline if verdict else None,
        "ratio": verdict.ratio if verdict else None,
        "low": verdict.low if verdict else None,
        "high": verdict.high if verdict else None,
        "confidence": verdict.confidence if verdict else None,
        "tolerance": verdict.tolerance if verdict else None,
        "smallest_visible_slowdown": verdict.smallest_visible_slowdown if verdict else None,
        "baseline_s": verdict.baseline_median_s if verdict else None,
        "reason": reason(verdict) if verdict else None,
        "advice": advice(verdict) if verdict else None,
    }
