"""Refreshing baselines: what was measured becomes the new level, and never a worse one in silence.

A plan says what would be written and what is refused, and why. Applying it reads the files again under a lock, so that
whoever refreshed meanwhile loses nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.places import place_of, places_of_device
from gaudi_perf.stores.resolution import newest_earlier, same_version
from gaudi_perf.stores.results import why_not_usable
from gaudi_perf.stores.tokens import contradicting_cases, token_findings
from gaudi_perf.vocabulary.baseline import AcceptedRegression, Anchor, Baseline, CaseBaseline
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, percent, seconds, slower_or_faster
from gaudi_perf.vocabulary.metrics import LATENCY, RUNS_FOR_BASELINES, SESSIONS_KEPT, TITLES, TOLERANCES
from gaudi_perf.vocabulary.run import Run, in_order, runs_apart
from gaudi_perf.vocabulary.stack import Device, Stack, stack_changes
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

_NO_REASON = ("", "REASON", "...")
"""Empty, or what stands for a reason where a command is printed to be pasted."""

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


@dataclass(frozen=True)
class Refresh:
    """What is asked for.

    Attributes:
        runs: of any cases, devices and stacks; a run that is there twice counts once.
        minimum_runs: how many valid runs of a case it takes.
        accept_regression: why slower levels are accepted; empty if they are not.
        now: with a time zone.
        margin: 0.05 if up to 5 % slower than the current level counts as unchanged.
        judged: how the new runs compare with the current ones, where that was judged.
        accept_spread: whether runs may lie further apart than noise explains.
        sessions_kept: of how many sessions an entry keeps the runs.
    """

    runs: Sequence[Run]
    minimum_runs: int = RUNS_FOR_BASELINES
    accept_regression: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    margin: float = TOLERANCES[LATENCY]
    judged: Mapping[Case, JudgedLevel] = field(default_factory=dict)
    accept_spread: bool = False
    sessions_kept: int = SESSIONS_KEPT

    @property
    def today(self) -> str:
        """The day in UTC, as documents write it."""
        return self.now.astimezone(timezone.utc).strftime("%Y-%m-%d")


@dataclass(frozen=True)
class RefreshPlan:
    """What a refresh would do, or did: changes by device, stack and case id, and the files that change, each whole."""

    store: BaselineStore
    request: Refresh
    changes: tuple[CaseChange, ...]
    files: tuple[Baseline, ...]

    @property
    def refused(self) -> tuple[CaseChange, ...]:
        """The cases that are not written."""
        return tuple(change for change in self.changes if not change.written)

    @property
    def accepted(self) -> tuple[CaseChange, ...]:
        """The cases that are written, or stand already as they are."""
        return tuple(change for change in self.changes if change.written)


def plan_refresh(store: BaselineStore, request: Refresh) -> RefreshPlan:
    """Say what a refresh would write and what it refuses. Nothing is written.
    Raises UserError if an option makes no sense, or a baseline file that is concerned is malformed.
    """
    if request.minimum_runs < 1:
        raise UserError(
            f"a baseline needs at least 1 run, and {request.minimum_runs} was asked for: give a larger number"
        )
    reason = request.accept_regression
    if reason and reason.strip() in _NO_REASON:
        shown = reason.strip() or "the reason is empty"
        raise UserError(f"--accept-regression: {shown}: say why the slower level is accepted")
    ordered = in_order({run.run_id: run for run in request.runs}.values())
    _require_one_stack(ordered)
    files: dict[tuple[str, str], dict[Case, list[Run]]] = {}
    for run in ordered:
        files.setdefault((run.device.name, run.stack.name), {}).setdefault(run.case, []).append(run)
    changes: list[CaseChange] = []
    written: list[Baseline] = []
    for (device, stack_name), groups in sorted(files.items()):
        place = place_of(store.directory, device, stack_name)
        before = store.load(place) if place.path.exists() else None
        entries: list[CaseBaseline] = []
        for runs in sorted(groups.values(), key=lambda runs: runs[0].case.key):
            change, new = _case(store, request, before, runs)
            changes.append(change)
            if new is not None:
                entries.append(new)
        if entries:
            after = _merged(before, next(iter(groups.values()))[0].device, entries)
            if after != before:
                written.append(after)
    return RefreshPlan(store, request, tuple(changes), tuple(written))


def _require_one_stack(runs: Iterable[Run]) -> None:
    """Refuse runs that were measured side by side on stacks whose names are the same: they are no one level."""
    labels: dict[tuple[str, str, Case], str] = {}
    for run in runs:
        label = labels.setdefault((run.device.name, run.stack.name, run.case), run.stack_label)
        if label != run.stack_label:
            both = " and ".join(repr(one) if one else "no listed stack" for one in sorted((label, run.stack_label)))
            raise UserError(
                f"{run.case.id} on {run.stack.name}: there are runs of {both}: name the directory of one session, or "
                "measure the one that is to be stored by itself"
            )


def apply(plan: RefreshPlan) -> RefreshPlan:
    """Write what a plan says, merged with what is there by now; returns what was done.

    That differs from ``plan`` only where another process wrote after ``plan`` was made.
    Raises UserError if the directory cannot be locked or written, or a file has become malformed. Every file is whole:
    the old one or the new one.
    """
    if not plan.accepted:
        return plan
    with plan.store.locked():
        done = plan_refresh(plan.store, plan.request)
        for baseline in done.files:
            plan.store.write(baseline)
    return done


def _case(
    store: BaselineStore, request: Refresh, before: Baseline | None, runs: list[Run]
) -> tuple[CaseChange, CaseBaseline | None]:
    """What happens to one case, and its entry, which names its stack, unless that is refused."""
    first = runs[0]
    label = f"{first.device.name}/{first.stack.name}"
    usable = [run for run in runs if run.usable]
    left_out = tuple(f"run {run.run_id} {why_not_usable(run)}" for run in runs if not run.usable)
    reason = _mixed(usable) or _too_few(len(usable), len(runs), request.minimum_runs)
    if not reason:
        stack = usable[0].stack
        entry = replace(CaseBaseline.of(usable), stack=stack)
        current = _current(store, before, first.device, stack, entry)
        judged = request.judged.get(first.case)
        reason = _too_far_apart(usable, judged, request) or _in_doubt(request.runs, usable, current, judged)
    if reason:
        return CaseChange(first.case.id, label, refused=reason, notes=left_out), None
    change = _decided(request, entry, label, current, judged)
    change = dataclasses.replace(
        change,
        notes=(*change.notes, *left_out),
        runs=len(usable),
        sessions=len({run.session_id for run in usable}),
        apart=runs_apart(usable),
    )
    if not change.written:
        return change, None
    own = current.case if current is not None and current.own else None
    if own is not None and own.stack == stack and own.token_ids == entry.token_ids:
        if own.anchor is not None and _seen_enough(own, entry, change, request):
            return change, own
        if change.kind == "unchanged":
            entry = replace(entry, runs=_newest_sessions([*own.runs, *entry.runs], request.sessions_kept))
    change = dataclasses.replace(change, stored_sessions=len({run.session_id for run in entry.runs}))
    return change, _entry(entry, stack, current, change, request)


def _decided(
    request: Refresh, entry: CaseBaseline, label: str, current: Level | None, judged: JudgedLevel | None
) -> CaseChange:
    """What a new entry is to the current level (None if the case is new), and whether it may take its place."""
    reason = request.accept_regression.strip()
    change = CaseChange(entry.id, label, "new", entry.level_s, current, judged, reason=reason)
    if current is None:
        return dataclasses.replace(change, judged=None)
    if current.own and all(one in current.case.evidence for one in entry.evidence):
        return dataclasses.replace(change, kind="unchanged")
    ratio, margin = entry.level_s / current.case.level_s, request.margin
    kind: ChangeKind = "slower" if ratio > 1 + margin else "better" if ratio < 1 - margin else "unchanged"
    if judged is not None:
        kind = _KINDS.get(judged.latency.kind, kind)
    accepted_ratio = change.ratio if kind == "slower" else None
    if kind != "slower" and entry.level_s > current.accepted_s * (1 + CREEP_MARGINS * margin):
        kind, accepted_ratio = "slower", entry.level_s / current.accepted_s  # step by step
    tokens = current.case.token_ids, entry.token_ids
    notes = ("the generated tokens have changed",) if all(tokens) and tokens[0] != tokens[1] else ()
    return dataclasses.replace(change, kind=kind, accepted_ratio=accepted_ratio, notes=notes)


def _seen_enough(own: CaseBaseline, entry: CaseBaseline, change: CaseChange, request: Refresh) -> bool:
    """Whether an entry stays as it is: the runs are its own, or it has sessions enough and is clearly UNCHANGED."""
    if all(one in own.evidence for one in entry.evidence):
        return True
    clearly = change.judged is not None and change.judged.latency.kind is VerdictKind.UNCHANGED
    stored = {run.session_id for run in own.runs}
    return clearly and change.kind == "unchanged" and len(stored) >= request.sessions_kept


def _newest_sessions(runs: Sequence[Run], count: int) -> list[Run]:
    """The runs of the newest sessions, by time; one that is there twice counts once."""
    ordered = in_order({run.run_id: run for run in runs}.values())
    newest = list(dict.fromkeys(run.session_id for run in reversed(ordered)))[:count]
    return [run for run in ordered if run.session_id in newest]


def _too_far_apart(usable: Sequence[Run], judged: JudgedLevel | None, request: Refresh) -> str:
    """Why runs of one case are no one level; empty if they may be."""
    apart, allowed = runs_apart(usable), None if judged is None else judged.allowed_range
    if request.accept_spread or apart is None or allowed is None or apart <= allowed:
        return ""
    levels = sorted(run.level_s for run in usable)
    return (
        f"its runs lie {percent(apart)} apart ({seconds(levels[0])} to {seconds(levels[-1])}), and its noise explains "
        f"{percent(allowed)}: find out why and measure again, or store them with gaudi-perf baselines refresh "
        "--accept-spread"
    )


def _too_few(usable: int, there: int, minimum: int) -> str:
    if usable >= minimum:
        return ""
    of = f"{usable} of {there} runs" if there > usable else counted(usable, "run")
    return f"{of} can be used, and a baseline needs {minimum}: measure more"


def _mixed(runs: Sequence[Run]) -> str:
    """Why runs of one case do not belong together; empty if they do."""
    for run in runs:
        first = runs[0]
        if run.case.accelerator != run.device.accelerator:
            both = f"{run.case.accelerator!r} on a device for {run.device.accelerator!r}"
            return f"run {run.run_id} is of a case for {both}: measure again"
        if run.host.host_class != first.host.host_class:
            hosts = f"{first.host.host_class!r} and {run.host.host_class!r}"
            return f"its runs are of several host classes ({hosts}): refresh from the runs of one"
        if run.stack != first.stack:
            what = "; ".join(stack_changes(first.stack, run.stack))
            return f"its runs are of several stacks ({what}): refresh from the runs of one"
        if run.measurement.token_ids != first.measurement.token_ids:
            return f"runs {first.run_id} and {run.run_id} generated different tokens: find out why, then measure again"
    return ""


def _in_doubt(runs: Sequence[Run], usable: Sequence[Run], current: Level | None, judged: JudgedLevel | None) -> str:
    """Why the outputs or the verdict of a case keep it from being stored; empty if they do not."""
    known = current is not None and current.case.token_ids == usable[0].measurement.token_ids
    contradicting = [] if known else contradicting_cases(runs, usable)
    if contradicting:
        return (
            f"the outputs of {', '.join(contradicting)} differ from its own by more than rounding, and one of the two "
            "is wrong: find out which, then measure again"
        )
    if current is not None:
        wrong, _ = token_findings(usable, current.stack_name, current.case.token_ids)
        if wrong:
            remedy = "if the stored tokens are the wrong ones, take token_ids of this case out of the baseline's file"
            return f"{wrong[0]}; {remedy}"
    if judged is not None and judged.latency.kind is VerdictKind.INVALID:  # for another reason than the tokens above
        return "its comparison is INVALID: measure again"
    return ""


def _current(
    store: BaselineStore, before: Baseline | None, device: Device, stack: Stack, entry: CaseBaseline
) -> Level | None:
    """The level that an entry takes the place of; else that of the newest earlier version, which it follows."""
    for one in before.entries if before is not None else ():
        if one.case.key == entry.key:
            return Level(replace(one.case, stack=one.stack), stack.name, own=True)
    places = places_of_device(store.directory, device.name)
    for place in [*same_version(places, stack), *newest_earlier(places, stack)]:
        for case in store.load(place).cases if place.stack_name != stack.name else ():
            if case.key == entry.key:
                return Level(case, place.stack_name, own=False)
    return None


def _entry(
    entry: CaseBaseline, stack: Stack, current: Level | None, change: CaseChange, request: Refresh
) -> CaseBaseline:
    """The new entry, with the memory of the old one."""
    anchor = None if current is None else current.anchor
    if anchor is None or entry.level_s < anchor.latency_s:
        anchor = Anchor(latency_s=entry.level_s, accepted_on=request.today, stack=stack.name)
    accepted = list(current.case.accepted_regressions) if current is not None and current.own else []
    if change.needs_reason and change.ratio is not None:
        accepted.append(
            AcceptedRegression(
                accepted_on=request.today,
                ratio=round(change.accepted_ratio or change.ratio, 6),
                reason=change.stored_reason,
                latency_s=entry.level_s,
                against="" if current is None or current.own else current.stack_name,
            )
        )
    return replace(entry, anchor=anchor, accepted_regressions=accepted)


def _merged(before: Baseline | None, device: Device, entries: Sequence[CaseBaseline]) -> Baseline:
    """A file's new content: the new entries, which name their stacks, in the place of old ones of the same key; all
    others as they are.

    The file's stack stays as long as one of its cases was measured on it; other cases then name their own.
    """
    stored = [] if before is None else [replace(one.case, stack=one.stack) for one in before.entries]
    cases = {case.key: case for case in [*stored, *entries]}
    stacks = [case.stack for case in cases.values()]
    own = before.stack if before is not None and before.stack in stacks else entries[-1].stack
    assert own is not None
    return Baseline(
        device=replace(device, available=None) if before is None else before.device,
        stack=own,
        cases=[replace(case, stack=None if case.stack == own else case.stack) for _, case in sorted(cases.items())],
    )
