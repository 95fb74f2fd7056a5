"""Verdicts, and what a session comes to."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import Count, Document, Name, PositiveInt, Seconds
from gaudi_perf.vocabulary.metrics import LATENCY, Metric
from gaudi_perf.vocabulary.run import require_timestamp
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

BaselineRole = Literal["drift", "release", "named", "side by side", "none"]
"""Why a baseline was chosen: the same stack version (drift), the newest earlier one (release regression), one that was
asked for by name, or the other stack of the session, measured side by side."""


class LearnedNoise(Document, frozen=True):
    """What the history of a case taught of its noise.

    Attributes:
        runs: of how many runs.
        nights: of how many nights (sessions).
        run: how far runs of one night usually lie apart: standard deviation of logarithms, 0.01 for 1 %.
        night: how far nights do, beyond that.
    """

    runs: PositiveInt
    nights: PositiveInt
    run: Annotated[float, msgspec.Meta(gt=0)]
    night: Annotated[float, msgspec.Meta(gt=0)]


class Verdict(Document, frozen=True):
    """The outcome of one comparison, with the ratio, its interval and the reason.

    Attributes:
        metric: what was compared.
        ratio: candidate to baseline; 1.10 is 10 % slower. None if nothing was compared.
        low: lower end of the ratio's interval.
        high: upper end.
        confidence: of the interval, for instance 0.99.
        tolerance: the slowdown that nobody minds, 0.05 for 5 %.
        smallest_visible_slowdown: what this comparison would have seen, 0.031 for 3.1 %.
        baseline_median_s: the baseline's level, where the metric is a duration.
        false_alarms: the permitted probability of a REGRESSED by chance, 0.005 for 0.5 %.
        p_slower: evidence against "not slower", to be held against that.
        reason: why this verdict, in a sentence.
        advice: what to do next, in a sentence, or empty.
        stop: why no more runs were taken, where as many are taken as it takes; else empty.
        more_runs: about how many more runs (of each stack, side by side) would settle it, where a number is known.
        more_seconds: about how long they would take.
        learned_noise: the usual noise, learned from this installation's history; None where that of a quiet server was
            assumed.
    """

    kind: VerdictKind
    reason: str
    metric: Metric = LATENCY
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
    false_alarms: float | None = None
    p_slower: float | None = None
    advice: str = ""
    stop: str = ""
    more_runs: Count | None = None
    more_seconds: float | None = None
    learned_noise: LearnedNoise | None = None


class CaseReport(Document, frozen=True):
    """What a session says of one case.

    Attributes:
        run_ids: its runs in this session.
        baseline_run_ids: the runs of the baseline's stack in this session, side by side.
        verdicts: one for each baseline that it was held against and each metric that gates, the worst first; at least
            one if it was measured.
        others: the same of the metrics that do not gate.
        skipped: why it could not run here, in numbers; empty if it ran.
        failed: why there is no measurement, in a sentence; empty if there is one.
        waived: why a regression passes: for now, and until when, or accepted; empty if none does.
        notes: what else is to be known, for instance why a metric was not judged.
    """

    case: Case
    run_ids: list[Name] = []
    baseline_run_ids: list[Name] = []
    verdicts: list[Verdict] = []
    others: list[Verdict] = []
    skipped: str = ""
    failed: str = ""
    waived: str = ""
    notes: list[str] = []


class Session(Document, frozen=True, kw_only=True):
    """One invocation of the suite: its cases, in the order of their tests.

    Attributes:
        candidate_stack: what the stacks' file calls the stack in question, side by side; else empty.
        baseline_stack: the same of the stack that it was held against.
        family: what the false-alarm rate of all cases together is, in a sentence.
        waivers: all waivers there are, expired ones too, a sentence each.
    """

    schema: str = SESSION_SCHEMA
    session_id: Name
    started_at: str
    ended_at: str
    cases: list[CaseReport]
    candidate_stack: str = ""
    baseline_stack: str = ""
    family: str = ""
    waivers: list[str] = []

    def __post_init__(self) -> None:
        """Refuse other schemas and unreadable times."""
        if self.schema != SESSION_SCHEMA:
            raise ValueError(f"schema is {self.schema!r}, and this release reads {SESSION_SCHEMA!r}")
        require_timestamp(self.started_at, "started_at")
        require_timestamp(self.ended_at, "ended_at")
