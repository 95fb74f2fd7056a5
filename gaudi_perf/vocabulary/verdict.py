"""Verdicts, and what a session comes to."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import Document, Name, Seconds
from gaudi_perf.vocabulary.measurement import require_timestamp
from gaudi_perf.vocabulary.stack import Stack

SESSION_SCHEMA = "gaudi-perf/session/1"


class VerdictKind(str, Enum):
    """What a comparison can come to."""

    REGRESSED = "REGRESSED"
    IMPROVED = "IMPROVED"
    UNCHANGED = "UNCHANGED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_BASELINE = "NO BASELINE"
    INVALID = "INVALID"


WORST_FIRST = (
    VerdictKind.INVALID,
    VerdictKind.REGRESSED,
    VerdictKind.INCONCLUSIVE,
    VerdictKind.NO_BASELINE,
    VerdictKind.IMPROVED,
    VerdictKind.UNCHANGED,
)
"""The order of verdicts in summaries; the first verdict of a case is what its test comes to."""

BaselineRole = Literal["drift", "release", "named", "none"]
"""Why a baseline was chosen: the same stack version (drift), the newest earlier one (release regression), or one
that was asked for by name."""


class Verdict(Document, frozen=True):
    """The outcome of one comparison, with the ratio, its interval and the reason.

    Attributes:
        metric: what was compared, for instance ``latency``.
        ratio: candidate to baseline; 1.10 is 10 % slower. None if nothing was compared.
        low: lower end of the ratio's interval.
        high: upper end.
        confidence: of the interval, for instance 0.99.
        tolerance: the slowdown that nobody minds, 0.05 for 5 %.
        smallest_visible_slowdown: what this comparison would have seen, 0.031 for 3.1 %.
        baseline_median_s: the baseline's level.
        reason: why this verdict, in a sentence.
        advice: what to do next, in a sentence, or empty.
    """

    kind: VerdictKind
    reason: str
    metric: Name = "latency"
    role: BaselineRole = "none"
    baseline: str = ""
    baseline_stack: Stack | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    tolerance: float | None = None
    smallest_visible_slowdown: float | None = None
    baseline_median_s: Seconds | None = None
    advice: str = ""


class CaseReport(Document, frozen=True):
    """What a session says of one case.

    Attributes:
        run_ids: its runs in this session.
        verdicts: one for each baseline that it was held against; at least one if it was measured.
        skipped: why it could not run here, in numbers; empty if it ran.
        failed: why there is no measurement, in a sentence; empty if there is one.
        waived: why a regression passes for now, and until when; empty if nothing is waived.
    """

    case: Case
    run_ids: list[Name] = []
    verdicts: list[Verdict] = []
    skipped: str = ""
    failed: str = ""
    waived: str = ""


class Session(Document, frozen=True, kw_only=True):
    """One invocation of the suite: its cases, in the order of their tests."""

    schema: str = SESSION_SCHEMA
    session_id: Name
    started_at: str
    ended_at: str
    cases: list[CaseReport]

    def __post_init__(self) -> None:
        """Refuse other schemas and unreadable times."""
        if self.schema != SESSION_SCHEMA:
            raise ValueError(f"schema is {self.schema!r}, and this release reads {SESSION_SCHEMA!r}")
        require_timestamp(self.started_at, "started_at")
        require_timestamp(self.ended_at, "ended_at")
