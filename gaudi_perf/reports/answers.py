"""What commands print for programs: a document each with ``--json``, whose JSON Schemas are in docs/schemas/, and the
verdicts of a session as CSV.

Durations are in seconds, ratios are candidate to baseline (1.10 is 10 % slower), shares are 0.05 for 5 %. Texts
that are neither ids nor kinds are the sentences that people read; they may change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from gaudi_perf.reports.article import TableRow
from gaudi_perf.reports.baselines import Pair
from gaudi_perf.reports.figures import figures
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.wording import advice, grounds, level_change, stack_differences, title
from gaudi_perf.stores.refresh import CaseChange, ChangeKind
from gaudi_perf.vocabulary.documents import Document
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict
from gaudi_perf.vocabulary.waiver import Waiver

if TYPE_CHECKING:
    import pandas


class ReplayedCase(Document, frozen=True, kw_only=True):
    """What the verdicts of a case are worth, in shares; ``detects`` is null where no slowdown is detected.

    ``false_alarms_high`` is the upper end of the 95 % interval, ``wrongly_unchanged`` that at a slowdown of twice the
    tolerance, ``noise_estimated`` the share of comparisons whose noise was not just assumed.
    """

    device: str
    stack: str
    host: str
    case: str
    runs: int
    sessions: int
    candidates: int
    baselines: int
    side_by_side: bool
    false_alarms: float
    false_alarms_high: float
    detects: float | None
    wrongly_unchanged: float
    inconclusive: float
    noise_estimated: float


class AuditAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf audit --json``."""

    schema: Literal["gaudi-perf/audit/1"] = "gaudi-perf/audit/1"
    tolerance: float
    repeats: int
    permitted_false_alarms: float
    left_out: int
    cases: list[ReplayedCase]
    too_short: list[str]


class ListedBaseline(Document, frozen=True, kw_only=True):
    """A stored baseline."""

    device: str
    stack: str
    file: str


class ListedWaiver(Document, frozen=True, kw_only=True):
    """A waiver, and the newest stored stack on which it has ended; empty while it is in effect."""

    waiver: Waiver
    expired_on: str = ""


class BaselinesAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf baselines list --json``."""

    schema: Literal["gaudi-perf/baselines/1"] = "gaudi-perf/baselines/1"
    baselines: list[ListedBaseline]
    waivers: list[ListedWaiver]


class WaiversAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf baselines waive --json``: what was added or removed, and all waivers there are now."""

    schema: Literal["gaudi-perf/waive/1"] = "gaudi-perf/waive/1"
    added: list[Waiver] = []
    removed: list[Waiver] = []
    waivers: list[ListedWaiver]


class VerifyAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf baselines verify --json``: problems, and what else is to be known."""

    schema: Literal["gaudi-perf/verify/1"] = "gaudi-perf/verify/1"
    baselines: int
    waivers: int
    problems: list[str]
    notes: list[str]


class RefreshedCase(Document, frozen=True, kw_only=True):
    """What a refresh does to a case of a baseline like ``gaudi2/synapse-1.24.0``, and the same as a sentence.

    ``ratio``: of the new level to the level before. ``accepted``: whether it is written, or stands already as it is.
    ``runs``: how many runs of the new level can be used, of how many ``sessions``. ``runs_apart``: by how much the
    slowest run exceeds the fastest, as a share.
    """

    baseline: str
    case: str
    kind: ChangeKind
    level_s: float | None
    ratio: float | None
    accepted: bool
    runs: int
    sessions: int
    runs_apart: float | None
    text: str


class RefreshAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf baselines diff --json`` and ``refresh --json``; nothing was written if ``written`` is empty."""

    schema: Literal["gaudi-perf/refresh/1"] = "gaudi-perf/refresh/1"
    cases: list[RefreshedCase]
    written: list[str]


class ImportedCase(Document, frozen=True, kw_only=True):
    """A number that was taken over."""

    baseline: str
    case: str
    level_s: float
    tokens_per_s: float
    provenance: str


class ImportAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf baselines import --json``; nothing was written if ``written`` is empty."""

    schema: Literal["gaudi-perf/import/1"] = "gaudi-perf/import/1"
    cases: list[ImportedCase]
    passed_over: list[str]
    written: list[str]


class ComparedCase(Document, frozen=True, kw_only=True):
    """A case that is on both sides: the estimate, else the ratio of the levels, and what changed in the stack.

    ``incomparable``: why they cannot be compared. The verdict is null then, or if both are published numbers.
    """

    device: str
    case: str
    candidate_s: float
    baseline_s: float
    ratio: float
    incomparable: list[str]
    verdict: Verdict | None
    changed: list[str]


class CompareAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf compare --json``; ``alone`` are cases that are on one side only."""

    schema: Literal["gaudi-perf/compare/1"] = "gaudi-perf/compare/1"
    candidate: str
    baseline: str
    cases: list[ComparedCase]
    alone: list[str]


class LevelShift(Document, frozen=True, kw_only=True):
    """A change of level; ``newest`` if no other followed."""

    device: str
    case: str
    stack_label: str
    kind: Literal["REGRESSED", "IMPROVED"]
    ratio: float
    low: float
    high: float
    session_id: str
    started_at: str
    stack: str
    stack_changes: list[str]
    newest: bool


class SessionApart(Document, frozen=True, kw_only=True):
    """A session apart from the level around it: no change of level; of the ``newest`` it is too early to say."""

    device: str
    case: str
    stack_label: str
    ratio: float
    session_id: str
    started_at: str
    stack: str
    newest: bool


class HistoryAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf history --json``: rows of the CSV, column by name, of the newest runs, and changes of level.

    ``runs_in_all`` are those that the filters left; no trends are searched with ``--no-changes``.
    """

    schema: Literal["gaudi-perf/history/1"] = "gaudi-perf/history/1"
    runs_in_all: int
    runs: list[dict[str, Any]]
    trends: int
    changes: list[LevelShift]
    odd_sessions: list[SessionApart]


class JudgedCase(Document, frozen=True, kw_only=True):
    """A case of a session; figures are null where nothing was measured. ``others`` do not gate."""

    case: str
    device: str | None
    stack: str | None
    latency_s: float | None
    spread: float | None
    tokens_per_s: float | None
    first_token_s: float | None
    per_output_token_s: float | None
    peak_memory_bytes: int | None
    runs: int
    verdicts: list[Verdict]
    others: list[Verdict]
    skipped: str
    failed: str
    waived: str
    notes: list[str]


class ReportAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf report --json`` and ``complete --json``: a session; ``next_commands`` can be pasted."""

    schema: Literal["gaudi-perf/report/1"] = "gaudi-perf/report/1"
    session_id: str
    started_at: str
    ended_at: str
    title: str
    cases: list[JudgedCase]
    next_commands: list[str]


class TableAnswer(Document, frozen=True, kw_only=True):
    """``gaudi-perf table --json``."""

    schema: Literal["gaudi-perf/table/1"] = "gaudi-perf/table/1"
    rows: list[TableRow]
    notes: list[str]


def refresh_answer(changes: Sequence[CaseChange], written: Sequence[str]) -> RefreshAnswer:
    """What a refresh does, or would do."""
    cases = [
        RefreshedCase(
            baseline=one.label,
            case=one.case_id,
            kind=one.kind,
            level_s=one.level_s,
            ratio=one.ratio,
            accepted=one.written,
            runs=one.runs,
            sessions=one.sessions,
            runs_apart=one.apart,
            text=level_change(one),
        )
        for one in changes
    ]
    return RefreshAnswer(cases=cases, written=list(written))


def compare_answer(pairs: Sequence[Pair], alone: Sequence[str], candidate: str, baseline: str) -> CompareAnswer:
    """Two sides, case by case."""
    cases = [
        ComparedCase(
            device=pair.candidate.device.name,
            case=pair.candidate.case.id,
            candidate_s=pair.candidate.case.level_s,
            baseline_s=pair.baseline.case.level_s,
            ratio=pair.ratio,
            incomparable=list(pair.differing),
            verdict=pair.judged,
            changed=stack_differences(pair.baseline.stack, pair.candidate.stack),
        )
        for pair in pairs
    ]
    return CompareAnswer(candidate=candidate, baseline=baseline, cases=cases, alone=list(alone))


_FIGURES = ("latency_s", "spread", "tokens_per_s", "first_token_s", "per_output_token_s", "peak_memory_bytes")
_OF_REPORT = ("verdicts", "others", "skipped", "failed", "waived", "notes")


def report_answer(session: Session, runs: Mapping[str, Sequence[Run]], commands: Sequence[str]) -> ReportAnswer:
    """A session; commands are lines like ``look closer: gaudi-perf report ...``."""
    cases = []
    for report in session.cases:
        own = runs.get(report.case.id, ())
        facts = figures(own) if own else None
        said: dict[str, Any] = {name: getattr(report, name) for name in _OF_REPORT}
        said |= {name: getattr(facts, name, None) for name in _FIGURES}
        cases.append(
            JudgedCase(
                case=report.case.id,
                device=own[0].device.name if own else None,
                stack=own[0].stack.name if own else None,
                runs=len(own),
                **said,
            )
        )
    return ReportAnswer(
        session_id=session.session_id,
        started_at=session.started_at,
        ended_at=session.ended_at,
        title=title(session),
        cases=cases,
        next_commands=[line.partition(": ")[2].strip() for line in commands],
    )


_CSV_FIGURES = ("runs", "rounds", *_FIGURES, "steady")
_CSV_VERDICT = ("metric", "role", "baseline", "ratio", "low", "high", "confidence", "tolerance")


def verdicts_frame(session: Session, runs: Mapping[str, Sequence[Run]]) -> pandas.DataFrame:
    """One row for every verdict, and one for every case that has none. Durations are in seconds, memory in bytes."""
    import pandas

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
        **{name: measured.get(name) for name in _CSV_FIGURES},
        "verdict": verdict.kind.value if verdict else None,
        **{name: getattr(verdict, name, None) for name in _CSV_VERDICT},
        "smallest_visible_slowdown": verdict.smallest_visible_slowdown if verdict else None,
        "baseline_s": verdict.baseline_median_s if verdict else None,
        "reason": grounds(verdict) if verdict else None,
        "advice": advice(verdict, waived=bool(report.waived)) if verdict else None,
    }
