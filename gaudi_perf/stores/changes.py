"""What a refresh means for one case: new, better, unchanged or slower, and slower than what."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gaudi_perf.vocabulary.baseline import Anchor, CaseBaseline
from gaudi_perf.vocabulary.formats import slower_or_faster
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

ChangeKind = Literal["new", "better", "unchanged", "slower", "refused"]

CREEP_MARGINS = 2.0
"""How many margins a level may creep above the last one that somebody accepted, in steps that are each too small to
ask about. More than one, for the best of many levels is a lucky one."""


@dataclass(frozen=True)
class Level:
    """The stored level that a new one is held against.

    Attributes:
        case: its entry.
        stack_name: the stack of its file.
        own: whether that is the stack of the new level; else an earlier one.
    """

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
    """What a refresh does to a case, or why it does not.

    Attributes:
        case_id: the case.
        label: the baseline, for instance ``gaudi2/synapse-1.24.0``.
        kind: in one word.
        level_s: the new level in seconds: the median over runs of each run's median latency; None if there is none.
        before_s: the level that it is held against.
        before: the stack of that level.
        verdict: how the new runs compare with that level, where that was judged.
        anchor: the best level accepted before.
        accepted_ratio: for a slower level, the ratio that the reason accepts; None if nothing needs a reason.
        reason: why a slower level is accepted.
        refused: why nothing is written; empty if it is.
        notes: what else to know.
    """

    case_id: str
    label: str
    kind: ChangeKind = "refused"
    level_s: float | None = None
    before_s: float | None = None
    before: str = ""
    verdict: Verdict | None = None
    anchor: Anchor | None = None
    accepted_ratio: float | None = None
    reason: str = ""
    refused: str = ""
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether a verdict says what the new level is to the one before; else the margin does."""
        return self.verdict is not None and self.verdict.kind in _KINDS and self.verdict.ratio is not None

    @property
    def ratio(self) -> float | None:
        """New level to the level before, 1.10 is 10 % slower: a clear verdict's estimate, else that of the medians."""
        if self.judged:
            return self.verdict.ratio if self.verdict is not None else None
        return None if self.level_s is None or self.before_s is None else self.level_s / self.before_s

    @property
    def anchor_ratio(self) -> float | None:
        """New level to the best level accepted before."""
        return None if self.level_s is None or self.anchor is None else self.level_s / self.anchor.latency_s

    @property
    def sentence(self) -> str:
        """The change in words, on a line."""
        parts = [self._level_words()] if self.level_s is not None else []
        if self.refused:
            parts.append(f"refused: {self.refused}")
        elif self.accepted_ratio is not None:
            parts.append(f"accepted: {self.reason}")
        parts += self.notes
        return f"{self.label} {self.case_id}: {'; '.join(parts)}"

    def with_notes(self, notes: Sequence[str]) -> CaseChange:
        """The same change with more notes."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))

    def _level_words(self) -> str:
        assert self.level_s is not None
        ratio, anchor_ratio = self.ratio, self.anchor_ratio
        if ratio is None or self.before_s is None:
            return f"new at {self.level_s:.4g} s"
        kind = {"slower": "slower: ", "better": "better: "}.get(self.kind, "unchanged: ")
        medians = f"{self.before_s:.4g} s to {self.level_s:.4g} s"
        if self.judged:
            words = f"{kind}{slower_or_faster(ratio)} than {self.before} (medians {medians})"
        else:
            words = f"{kind}medians {slower_or_faster(ratio)} than {self.before} ({medians})"
        if anchor_ratio is not None and self.anchor is not None and anchor_ratio > 1:
            of = f", {self.anchor.stack}" if self.anchor.stack else ""
            best = f"{self.anchor.latency_s:.4g} s of {self.anchor.accepted_on}{of}"
            words += f", {slower_or_faster(anchor_ratio)} than the best ({best})"
        return words


def decide(
    entry: CaseBaseline,
    label: str,
    current: Level | None,
    *,
    reason: str | None,
    margin: float,
    verdict: Verdict | None,
    worse: str = "",
) -> CaseChange:
    """Decide what a new entry is to the current level, and whether it may take its place.

    Args:
        entry: the new runs.
        label: what to call the baseline.
        current: the level now, or None if the case is new.
        reason: why a slower level is accepted, or None.
        margin: 0.05 if up to 5 % slower counts as unchanged.
        verdict: how the new runs compare with the current ones, where that was judged; it takes the margin's place.
        worse: what else got worse and needs a reason, in words.
    """
    level = entry.level_s
    if current is None:
        return CaseChange(entry.id, label, "new", level_s=level)
    before = current.case.level_s
    if current.own and current.case.evidence == entry.evidence:
        kind: ChangeKind = "unchanged"
        accepted_ratio = None
    else:
        kind = _kind(level / before, margin, verdict)
        clear = verdict is not None and verdict.kind in _KINDS and verdict.ratio is not None
        ratio = verdict.ratio if clear and verdict is not None else level / before
        accepted_ratio = ratio if kind == "slower" else None
        if kind != "slower" and level > current.accepted_s * (1 + CREEP_MARGINS * margin):
            kind = "slower"  # step by step
            accepted_ratio = level / current.accepted_s
    change = CaseChange(
        entry.id,
        label,
        kind,
        level_s=level,
        before_s=before,
        before="the current level" if current.own else current.stack_name,
        verdict=verdict,
        anchor=current.anchor,
        accepted_ratio=accepted_ratio,
        reason=(reason or "") + (f" ({worse})" if reason and worse else ""),
    )
    if worse and accepted_ratio is None:
        change = dataclasses.replace(change, accepted_ratio=change.ratio)
    if current.case.token_ids and entry.token_ids and current.case.token_ids != entry.token_ids:
        change = change.with_notes(["the generated tokens have changed"])
    if change.accepted_ratio is not None and reason is None:
        slower = (
            "" if accepted_ratio is None else f"{slower_or_faster(accepted_ratio)} than the level that was accepted"
        )
        what = ", ".join(part for part in (slower, worse) if part)
        refused = f'{what}: say why with --accept-regression "..."'
        return dataclasses.replace(change, refused=refused)
    return change


_KINDS: dict[VerdictKind, ChangeKind] = {
    VerdictKind.REGRESSED: "slower",
    VerdictKind.IMPROVED: "better",
    VerdictKind.UNCHANGED: "unchanged",
}


def _kind(ratio: float, margin: float, verdict: Verdict | None) -> ChangeKind:
    if verdict is not None and verdict.kind in _KINDS:
        return _KINDS[verdict.kind]
    if ratio > 1 + margin:
        return "slower"
    return "better" if ratio < 1 - margin else "unchanged"
