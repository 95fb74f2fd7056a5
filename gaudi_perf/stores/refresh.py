"""Refreshing baselines: what was measured becomes the new level, and never a worse one in silence.

A plan says in words what would be written and what is refused, and why. Applying it reads the files again under a
lock, so that whoever refreshed meanwhile loses nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.changes import CaseChange, JudgedLevel, Level, decide
from gaudi_perf.stores.places import place_of, places_of_device
from gaudi_perf.stores.resolution import newest_earlier, same_version
from gaudi_perf.stores.tokens import contradicting_cases, token_findings
from gaudi_perf.vocabulary.baseline import AcceptedRegression, Anchor, Baseline, CaseBaseline
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.metrics import LATENCY, RUNS_FOR_BASELINES, TOLERANCES
from gaudi_perf.vocabulary.run import Run, in_order
from gaudi_perf.vocabulary.stack import Device, Stack, stack_changes
from gaudi_perf.vocabulary.verdict import VerdictKind

_IN_DOUBT = (
    "the outputs of {other} differ from its own by more than rounding, and one of the two is wrong: find out which, "
    "then measure again"
)
_IF_RIGHT = "if the stored tokens are the wrong ones, take token_ids of this case out of the baseline's file"


@dataclass(frozen=True)
class Refresh:
    """What is asked for.

    Attributes:
        runs: what was measured.
        minimum_runs: how many valid runs of a case it takes.
        accept_regression: why slower levels are accepted; None if they are not.
        now: the time of the refresh, with a time zone.
        margin: 0.05 if up to 5 % slower than the current level counts as unchanged.
        judged: by case, how the new runs compare with the current ones, where somebody has judged that.
    """

    runs: tuple[Run, ...]
    minimum_runs: int
    accept_regression: str | None
    now: datetime
    margin: float
    judged: Mapping[Case, JudgedLevel] = field(default_factory=dict)

    @property
    def today(self) -> str:
        """The day in UTC, as documents write it."""
        return self.now.astimezone(timezone.utc).strftime("%Y-%m-%d")


@dataclass(frozen=True)
class RefreshPlan:
    """What a refresh would do, or did.

    Attributes:
        store: where.
        request: what was asked for.
        changes: one for each case, by device, stack and case id.
        files: the baselines that would be written, each whole; only those that change.
    """

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


def plan_refresh(
    store: BaselineStore,
    runs: Iterable[Run],
    *,
    minimum_runs: int = RUNS_FOR_BASELINES,
    accept_regression: str | None = None,
    now: datetime | None = None,
    margin: float = TOLERANCES[LATENCY],
    judged: Mapping[Case, JudgedLevel] | None = None,
) -> RefreshPlan:
    """Say what a refresh would write and what it refuses. Nothing is written.

    Args:
        store: the baselines.
        runs: what was measured, of any cases, devices and stacks; a run that is there twice counts once.
        minimum_runs: how many valid runs of a case it takes.
        accept_regression: why slower levels are accepted; it is stored with date and ratio.
        now: the time of the refresh, with a time zone; the present by default.
        margin: see ``Refresh``.
        judged: see ``Refresh``.

    Raises:
        UserError: an option makes no sense, or a baseline file that is concerned is malformed.
    """
    if minimum_runs < 1:
        raise UserError(f"a baseline needs at least 1 run, and {minimum_runs} was asked for: give a larger number")
    if accept_regression is not None and not accept_regression.strip():
        raise UserError("--accept-regression: the reason is empty: say why the slower level is accepted")
    unique = {run.run_id: run for run in runs}
    _require_one_stack(unique.values())
    request = Refresh(
        runs=tuple(in_order(unique.values())),
        minimum_runs=minimum_runs,
        accept_regression=None if accept_regression is None else accept_regression.strip(),
        now=now or datetime.now(timezone.utc),
        margin=margin,
        judged=dict(judged or {}),
    )
    return _plan(store, request)


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
    """Write what a plan says, merged with what is there by now.

    Returns:
        What was done. It differs from ``plan`` only where another process wrote after ``plan`` was made.

    Raises:
        UserError: the directory cannot be locked or written, or a file has become malformed. Every file is whole:
            the old one or the new one.
    """
    if not plan.accepted:
        return plan
    with plan.store.locked():
        done = _plan(plan.store, plan.request)
        for baseline in done.files:
            plan.store.write(baseline)
    return done


def _plan(store: BaselineStore, request: Refresh) -> RefreshPlan:
    files: dict[tuple[str, str], dict[Case, list[Run]]] = {}
    for run in request.runs:
        files.setdefault((run.device.name, run.stack.name), {}).setdefault(run.case, []).append(run)
    changes: list[CaseChange] = []
    written: list[Baseline] = []
    for (device, stack_name), groups in sorted(files.items()):
        place = place_of(store.directory, device, stack_name)
        before = store.load(place) if place.path.exists() else None
        entries: list[tuple[CaseBaseline, Stack]] = []
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


def _case(
    store: BaselineStore, request: Refresh, before: Baseline | None, runs: list[Run]
) -> tuple[CaseChange, tuple[CaseBaseline, Stack] | None]:
    """What happens to one case: the change in words, and its entry and stack unless that is refused."""
    first = runs[0]
    label = f"{first.device.name}/{first.stack.name}"
    usable, left_out = _usable(runs)
    reason = _mixed(usable) or _too_few(usable, left_out, request.minimum_runs)
    if reason:
        return CaseChange(first.case.id, label, refused=reason, notes=tuple(left_out)), None
    entry, stack = CaseBaseline.of(usable), usable[0].stack
    current, role = _current(store, before, first.device, stack, entry)
    known = current is not None and current.case.token_ids == entry.token_ids
    contradicting = [] if known else contradicting_cases(request.runs, usable)
    if contradicting:
        reason = _IN_DOUBT.format(other=", ".join(contradicting))
        return CaseChange(first.case.id, label, refused=reason, notes=tuple(left_out)), None
    if current is not None:
        wrong, _ = token_findings(usable, current.stack_name, current.case.token_ids)
        if wrong:
            return CaseChange(first.case.id, label, refused=f"{wrong[0]}; {_IF_RIGHT}", notes=tuple(left_out)), None
    judged = request.judged.get(first.case)
    if judged is not None and judged.latency.kind is VerdictKind.INVALID:  # for another reason than the tokens above
        reason = "its comparison is INVALID: measure again"
        return CaseChange(first.case.id, label, refused=reason, notes=tuple(left_out)), None
    change = decide(
        entry,
        label,
        current,
        reason=request.accept_regression,
        margin=request.margin,
        judged=judged,
    )
    change = dataclasses.replace(change, notes=(*change.notes, *left_out))
    if not change.written:
        return change, None
    if role == "same stack" and current is not None and _same_evidence(current.case, entry):
        return change, (current.case, stack)
    return change, (_entry(entry, stack, current, role, change, request), stack)


def _usable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs that may become a baseline, and why the others may not."""
    usable: list[Run] = []
    left_out: list[str] = []
    for run in runs:
        if run.not_usable:
            left_out.append(f"run {run.run_id} {run.not_usable}")
        else:
            usable.append(run)
    return usable, left_out


def _too_few(usable: Sequence[Run], left_out: Sequence[str], minimum: int) -> str:
    if len(usable) >= minimum:
        return ""
    of = f" of {len(usable) + len(left_out)}" if left_out else ""
    runs = "run" if len(usable) == 1 and not left_out else "runs"
    return f"{len(usable)}{of} {runs} can be used, and a baseline needs {minimum}: measure more"


def _mixed(runs: Sequence[Run]) -> str:
    """Why runs of one case do not belong together; empty if they do."""
    if not runs:
        return ""
    first = runs[0]
    for run in runs:
        if run.case.accelerator != run.device.accelerator:
            return (
                f"run {run.run_id} is of a case for {run.case.accelerator!r} on a device for "
                f"{run.device.accelerator!r}: measure again"
            )
        if run.host.host_class != first.host.host_class:
            hosts = f"{first.host.host_class!r} and {run.host.host_class!r}"
            return f"its runs are of several host classes ({hosts}): refresh from the runs of one"
        if run.stack != first.stack:
            what = "; ".join(stack_changes(first.stack, run.stack))
            return f"its runs are of several stacks ({what}): refresh from the runs of one"
        if run.measurement.token_ids != first.measurement.token_ids:
            return f"runs {first.run_id} and {run.run_id} generated different tokens: find out why, then measure again"
    return ""


def _current(
    store: BaselineStore, before: Baseline | None, device: Device, stack: Stack, entry: CaseBaseline
) -> tuple[Level | None, Literal["same stack", "earlier stack", "none"]]:
    """The level that an entry takes the place of; else that of the newest earlier version, which it follows."""
    if before is not None:
        for case in before.cases:
            if case.key == entry.key:
                return Level(case, stack.name, own=True), "same stack"
    places = places_of_device(store.directory, device.name)
    for place in [*same_version(places, stack), *newest_earlier(places, stack)]:
        if place.stack_name == stack.name:
            continue
        for case in store.load(place).cases:
            if case.key == entry.key:
                return Level(case, place.stack_name, own=False), "earlier stack"
    return None, "none"


def _same_evidence(case: CaseBaseline, entry: CaseBaseline) -> bool:
    return case.evidence == entry.evidence and case.token_ids == entry.token_ids and case.anchor is not None


def _entry(
    entry: CaseBaseline,
    stack: Stack,
    current: Level | None,
    role: str,
    change: CaseChange,
    request: Refresh,
) -> CaseBaseline:
    """The new entry, with the memory of the old one."""
    anchor = None if current is None else current.anchor
    if anchor is None or entry.level_s < anchor.latency_s:
        anchor = Anchor(latency_s=entry.level_s, accepted_on=request.today, stack=stack.name)
    accepted = list(current.case.accepted_regressions) if current is not None and role == "same stack" else []
    if change.needs_reason and change.reason is not None and change.ratio is not None:
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


def _merged(before: Baseline | None, device: Device, entries: Sequence[tuple[CaseBaseline, Stack]]) -> Baseline:
    """A file's new content: the new entries in the place of old ones of the same key; all others as they are.

    The file's stack stays as long as one of its cases was measured on it; other cases then name their own.
    """
    stacks: dict[tuple[str, ...], Stack] = {}
    cases: dict[tuple[str, ...], CaseBaseline] = {}
    for case in before.cases if before is not None else []:
        cases[case.key] = case
        stacks[case.key] = case.stack or (before.stack if before is not None else entries[0][1])
    for case, stack in entries:
        cases[case.key] = case
        stacks[case.key] = stack
    newest = entries[-1][1]
    files_stack = before.stack if before is not None and before.stack in stacks.values() else newest
    return Baseline(
        device=before.device if before is not None else replace(device, available=None),
        stack=files_stack,
        cases=[replace(cases[key], stack=None if stacks[key] == files_stack else stacks[key]) for key in sorted(cases)],
    )
