"""Verdicts, and what a session comes to: numbers and codes; ``reports/wording.py`` has the sentences."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import Count, Document, Name, PositiveInt, Seconds, decode
from gaudi_perf.vocabulary.metrics import LATENCY, Metric
from gaudi_perf.vocabulary.run import require_timestamp
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.upgrades import upgraded_session


class VerdictKind(str, Enum):
    """What a comparison can come to, the worst first."""

    INVALID = "INVALID"
    REGRESSED = "REGRESSED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_BASELINE = "NO BASELINE"
    IMPROVED = "IMPROVED"
    UNCHANGED = "UNCHANGED"


class Reason(str, Enum):
    """Why a verdict is what it is; docs/verdicts.md has the rule."""

    SLOWER = "slower"
    """The estimate is at least half the tolerance, and "not slower" is refused at the permitted error."""
    FASTER = "faster"
    WITHIN_TOLERANCE = "within-tolerance"
    """A slowdown of twice the tolerance is ruled out, and would have been detected."""
    TOO_IMPRECISE = "too-imprecise"
    """Such a slowdown can be neither detected nor ruled out."""
    NOT_SIGNIFICANT = "not-significant"
    """The estimate is too large for UNCHANGED, and not significant."""
    NOT_SIGNIFICANT_AMONG_ALL = "not-significant-among-all"
    """It is significant by itself, and not as one of all comparisons of the session."""
    SIGNIFICANT_AMONG_ALL = "significant-among-all"
    """It became significant only when all cases of the session were judged together."""
    SLOWER_THAN_OTHERS = "slower-than-others"
    """It is slower than the other cases of its session are; what those share is subtracted."""
    TOO_FEW_RUNS = "too-few-runs"
    """The first interim analysis is yet to come."""
    NEVER_STEADY = "never-steady"
    """A run's rounds still drifted when warm-up ended; ``text`` says how."""
    NO_BASELINE = "no-baseline"
    """Nothing comparable is stored; ``text`` names what differs."""
    NO_VALUES = "no-values"
    """Not both sides have the metrics that gate; ``text`` names them."""
    INVALID = "invalid"
    """The measurement must not be judged; ``text`` has the problems."""
    TEXT = "text"
    """Of an earlier version, which stored the sentence: it is in ``text``."""


class Advice(str, Enum):
    """What to do next."""

    NONE = ""
    ACCEPT_OR_WAIVE = "accept-or-waive"
    REFRESH = "refresh"
    CHECK_MACHINE = "check-machine"
    """The reference probes changed, by ``probe_change``."""
    CHECK_ROUNDS = "check-rounds"
    """The rounds' tail spread changed, by ``tail_spread_change``."""
    ANOTHER_SESSION = "another-session"
    """A slow session would explain it; after ``more_sessions`` without one it would not."""
    MORE_RUNS = "more-runs"
    """``more_runs`` more, which take ``more_seconds``."""
    QUIETER_MACHINE = "quieter-machine"
    """No reasonable number of pairs settles it."""
    SIDE_BY_SIDE = "side-by-side"
    """No number of runs in this session settles it."""
    MEASURE_ALONE = "measure-alone"
    MORE_WARM_UP = "more-warm-up"
    FIX_AND_REPEAT = "fix-and-repeat"
    STORE = "store"
    SAME_DEVICE = "same-device"
    TEXT = "text"
    """Of an earlier version, which stored the sentence: it is in ``advice_text``."""


class StopReason(str, Enum):
    """Why no more runs are needed, where interim analyses decide that."""

    NOT_YET = ""
    CLEAR = "clear"
    BUDGET = "budget"
    FUTILE = "futile"


WORST_FIRST = tuple(VerdictKind)
"""The order of verdicts in summaries; the first verdict of a case is what its test comes to."""

BaselineRole = Literal["drift", "release", "named", "side by side", "none"]
"""Why a baseline was chosen: the same stack version (drift), the newest earlier one (release regression), one that was
asked for by name, or the other stack of the session, measured side by side."""


class LearnedNoise(Document, frozen=True):
    """What the history of a case taught of its noise: standard deviations of logarithms, 0.01 for 1 %, between runs of
    one session, and beyond that between sessions.
    """

    runs: PositiveInt
    sessions: PositiveInt
    run: Annotated[float, msgspec.Meta(gt=0)]
    session: Annotated[float, msgspec.Meta(gt=0)]


class Verdict(Document, frozen=True):
    """The outcome of one comparison: the estimate with its interval, and why.

    Attributes:
        text: what the reason names: differences, problems, or the sentence of an earlier version.
        ratio: candidate to baseline; 1.10 is 10 % slower. None if nothing was compared.
        low: lower end of the ratio's interval of that ``confidence``, for instance 0.99; ``high`` is the upper end.
        tolerance: the largest slowdown that is accepted, 0.05 for 5 %.
        smallest_visible_slowdown: what this comparison would have detected, 0.031 for 3.1 %.
        baseline_median_s: the baseline's level, where the metric is a duration.
        run_spread: spread between runs that was found, as a share; beyond what covariates explain.
        uncorrected_run_spread: the same before that, where the reference probes explain much of it.
        session_spread: spread between sessions that was reckoned with; None side by side, where it cancels.
        learned_noise: None where a quiet server was assumed.
        false_alarms: the permitted probability of a REGRESSED by chance, against which ``p_slower`` is held.
        comparisons: among how many comparisons of the session it was not significant.
        more_runs: about how many more runs (of each stack, side by side) would settle it, where a number is known.
        more_sessions: how many more sessions of history, none of them slow, would make a slowdown of twice the
            tolerance detectable, where a number is known.
        few_rounds: whether most of the spread between runs comes from their having few rounds.
        probe_change: by what share the reference probes changed from the baseline's, where that is the obstacle.
        tail_spread_change: the same of the rounds' tail spread.
    """

    kind: VerdictKind
    reason: Reason
    text: str = ""
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
    candidate_runs: Count | None = None
    baseline_runs: Count | None = None
    published: bool = False
    run_spread: float | None = None
    uncorrected_run_spread: float | None = None
    session_spread: float | None = None
    learned_noise: LearnedNoise | None = None
    false_alarms: float | None = None
    p_slower: float | None = None
    p_faster: float | None = None
    comparisons: Count | None = None
    advice: Advice = Advice.NONE
    advice_text: str = ""
    stop: StopReason = StopReason.NOT_YET
    more_runs: Count | None = None
    more_seconds: float | None = None
    more_sessions: Count | None = None
    few_rounds: bool = False
    probe_change: float | None = None
    tail_spread_change: float | None = None


class CaseReport(Document, frozen=True):
    """What a session says of one case.

    Attributes:
        baseline_run_ids: the runs of the baseline's stack in this session, side by side.
        verdicts: one for each baseline that it was compared with and each metric that gates, the worst first; at least
            one if it was measured. ``others`` are of metrics that do not gate.
        skipped: why it could not run here, in numbers; empty if it ran.
        failed: why there is no measurement, in a sentence; empty if there is one.
        waived: why a regression passes: for now, and until when, or accepted; empty if none does.
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


class SharedErrorRate(Document, frozen=True):
    """The chance of any false REGRESSED among the cases of a session if nothing changed, 0.01 for 1 %."""

    cases: PositiveInt
    rate: float


Address = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s@\"'<>\\]{1,1000}\Z")]
"""An address of the web, without a user's name or password in it."""


class Origin(Document, frozen=True, kw_only=True):
    """What a CI said of the run in which the suite was started; what it did not say is empty or null.

    Attributes:
        system: for instance ``GitHub Actions``.
        change: the pull or merge request as people call it, ``#12`` or ``!12``.
    """

    system: Name
    commit: str = ""
    commit_url: Address | None = None
    run_url: Address | None = None
    change: str = ""
    change_url: Address | None = None


class Session(Document, frozen=True, kw_only=True):
    """One invocation of the suite: its cases, in the order of their tests.

    Attributes:
        candidate_stack: what the stacks' file calls the stack in question, side by side; else empty.
        error_rate: None if nothing was compared.
        waivers: all waivers there are, expired ones too, a sentence each.
        refreshed: whether the session was asked to store its levels as baselines.
        left: how many cases were to be measured, and have no run and no report: it ended early, or goes on.
        origin: the CI's run that started it; None where no CI that is known did.
    """

    schema: Literal["gaudi-perf/session/2"] = "gaudi-perf/session/2"
    session_id: Name
    started_at: str
    ended_at: str
    cases: list[CaseReport]
    candidate_stack: str = ""
    baseline_stack: str = ""
    error_rate: SharedErrorRate | None = None
    waivers: list[str] = []
    refreshed: bool = False
    left: Count = 0
    origin: Origin | None = None

    def __post_init__(self) -> None:
        require_timestamp(self.started_at, "started_at")
        require_timestamp(self.ended_at, "ended_at")


def decode_session(data: bytes | str, source: str) -> Session:
    """Decode a session's document of this version or of the first; ``UserError`` names the source and the field."""
    return decode(data, Session, source, upgraded_session)
