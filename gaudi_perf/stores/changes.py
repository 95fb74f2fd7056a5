"""What a refresh means for one case: new, better, unchanged or slower, and slower than what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gaudi_perf.vocabulary.baseline import Anchor, CaseBaseline
from gaudi_perf.vocabulary.formats import slower_or_faster
from gaudi_perf.vocabulary.metrics import TITLES
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

ChangeKind = Literal["new", "better", "unchanged", "slower", "refused"]

CREEP_MARGINS = 2.0
"""How many margins a level may creep above the last one that somebody accepted, in steps that are each too small to
ask about. More than one, for the best of many levels is a lucky one."""

_KINDS: dict[VerdictKind, ChangeKind] = {
    VerdictKind.REGRESSED: "slower",
    VerdictKind.IMPROVED: "better",
    VerdictKind.UNCHANGED: "unchanged",
}


@dataclass(frozen=True)
class JudgedLevel:
    """How new runs compare with the level that a refresh would replace. A clear verdict on the latency takes the
    margin's place; ``worse`` are other metrics that gate and REGRESSED, which need a reason, too, ``noted`` those that
    do not gate. By ``allowed_range`` the slowest run may exceed the fastest, as a share; None where that is not known.
    """

    latency: Verdict
    worse: tuple[Verdict, ...] = ()
    noted: tuple[Verdict, ...] = ()
    allowed_range: float | None = None

    @property
    def ratio(self) -> float | None:
        """The estimate of a clear verdict, new level to the level before; None where the margin decides."""
        return self.latency.ratio if self.latency.kind in _KINDS else None


@dataclass(frozen=True)
class Level:
    """The stored level that a new one is compared with: of the new level's own stack, or of an earlier one."""

    case: CaseBaseline
    stack_name: str
    own: bool

    @property
    def anchor(self) -> Anchor:
        """The best level ever accepted; of an entry that names none, its own level."""
        case = self.case
        if case.anchor is not None and case.anchor.latency_s <= case.level_s:
            return case.anchor
        return Anchor(latency_s=case.level_s, accepted_on=case.runs[-1].started_at[:10], stack=self.stack_name)

    @property
    def accepted_s(self) -> float:
        """The slowest level that was looked at: the best one, or a slower one accepted since with a reason."""
        anchor = self.anchor
        since = [item for item in self.case.accepted_regressions if item.accepted_on >= anchor.accepted_on]
        last = since[-1].latency_s if since else None
        return max(anchor.latency_s, last or 0.0)


@dataclass(frozen=True)
class CaseChange:
    """What a refresh does to a case, or why it does not; ``reports.wording`` says it in a sentence.

    Attributes:
        label: the baseline, for instance ``gaudi2/synapse-1.24.0``.
        level_s: the new level in seconds; None if there is none.
        current: the level that it is compared with; None if the case is new.
        accepted_ratio: of a slower level, the ratio to the level that it may not exceed without a reason; else None.
        reason: why what is worse is accepted; empty if it is not.
        refused: why nothing is written, other than that a reason is missing; empty if nothing speaks against it.
        runs: how many there are of the new level, of how many ``sessions``, and how far they lie apart
            (``runs_apart``); None where there is none.
        stored_sessions: of how many sessions the entry then is; 0 if it stays as it is.
    """

    case_id: str
    label: str
    kind: ChangeKind = "refused"
    level_s: float | None = None
    current: Level | None = None
    judged: JudgedLevel | None = None
    accepted_ratio: float | None = None
    reason: str = ""
    refused: str = ""
    notes: tuple[str, ...] = ()
    runs: int = 0
    sessions: int = 0
    apart: float | None = None
    stored_sessions: int = 0

    @property
    def needs_reason(self) -> bool:
        """Whether it is worse than what was accepted, in its latency or in what else gates."""
        return self.accepted_ratio is not None or bool(self.judged is not None and self.judged.worse)

    @property
    def written(self) -> bool:
        """Whether it is written, or stands already as it is."""
        return not self.refused and (not self.needs_reason or bool(self.reason))

    @property
    def ratio(self) -> float | None:
        """New level to the level before, 1.10 is 10 % slower: a clear verdict's estimate, else that of the medians."""
        if self.judged is not None and self.judged.ratio is not None:
            return self.judged.ratio
        return None if self.level_s is None or self.current is None else self.level_s / self.current.case.level_s

    @property
    def worse(self) -> str:
        """What is worse beside the latency: ``peak memory 50.0 % more``; empty if nothing is."""
        return regressions([] if self.judged is None else self.judged.worse)

    @property
    def stored_reason(self) -> str:
        """The reason as it is kept in the file."""
        return f"{self.reason} ({self.worse})" if self.worse else self.reason


def regressions(verdicts: Sequence[Verdict]) -> str:
    """What REGRESSED, and by how much: ``peak memory 50.0 % more``."""
    found = [f"{TITLES[one.metric]} {slower_or_faster(one.ratio or 1.0, one.metric)}" for one in verdicts]
    return ", ".join(dict.fromkeys(found))


def decide(
    entry: CaseBaseline, label: str, current: Level | None, *, reason: str, margin: float, judged: JudgedLevel | None
) -> CaseChange:
    """Decide what a new entry is to the current level (None if the case is new), and whether it may take its place.
    See ``Refresh`` for the reason and the margin.
    """
    change = CaseChange(entry.id, label, "new", entry.level_s, current, judged, reason=reason)
    if current is None:
        return replace(change, judged=None)
    if current.own and all(one in current.case.evidence for one in entry.evidence):
        return replace(change, kind="unchanged")
    ratio = entry.level_s / current.case.level_s
    kind: ChangeKind = "slower" if ratio > 1 + margin else "better" if ratio < 1 - margin else "unchanged"
    if judged is not None:
        kind = _KINDS.get(judged.latency.kind, kind)
    accepted_ratio = change.ratio if kind == "slower" else None
    if kind != "slower" and entry.level_s > current.accepted_s * (1 + CREEP_MARGINS * margin):
        kind, accepted_ratio = "slower", entry.level_s / current.accepted_s  # step by step
    tokens = current.case.token_ids, entry.token_ids
    notes = ("the generated tokens have changed",) if all(tokens) and tokens[0] != tokens[1] else ()
    return replace(change, kind=kind, accepted_ratio=accepted_ratio, notes=notes)
