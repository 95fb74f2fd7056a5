"""Which baselines a run is held against, and which cannot be compared with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaudi_perf.stores.naming import baselines_named
from gaudi_perf.stores.places import Place, places_of_device
from gaudi_perf.stores.results import RunsRead, read_runs
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run, differences
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.verdict import BaselineRole

PUBLISHED = "published"
"""What ``--against`` says for the newest published number."""

Load = Callable[[Place], Baseline]
ReadResults = Callable[[Path], RunsRead]


@dataclass(frozen=True)
class Match:
    """A baseline that a run is held against.

    Attributes:
        role: why this one.
        label: what to call it, for instance ``gaudi2/synapse-1.24.0``, or a results directory.
        device: the baseline's device.
        stack: the stack that the case was measured on, every component named.
        case: the entry: runs or a published number.
    """

    role: BaselineRole
    label: str
    device: Device
    stack: Stack
    case: CaseBaseline


@dataclass(frozen=True)
class Incomparable:
    """A baseline that has the case, but of something else.

    Attributes:
        role: what it would have been held against as.
        label: what to call it.
        differences: the differing fields, in words; never empty.
    """

    role: BaselineRole
    label: str
    differences: tuple[str, ...]

    def __str__(self) -> str:
        """In one clause."""
        return f"{self.label} is incomparable: {'; '.join(self.differences)}"


@dataclass(frozen=True)
class Resolution:
    """What a run is held against.

    Attributes:
        matches: drift before release; empty means NO BASELINE.
        incomparable: baselines that would have been held against, were they comparable.
        reason: why there is no match, in a clause; empty if there is one.
    """

    matches: tuple[Match, ...]
    incomparable: tuple[Incomparable, ...] = ()
    reason: str = ""


def resolve(run: Run, directory: Path, load: Load, results: ReadResults, against: str | None) -> Resolution:
    """Find the baselines of a run.

    Args:
        run: what is compared.
        directory: where the baselines lie.
        load: reads a baseline file.
        results: reads a results directory.
        against: None for the same version and the newest earlier one; else a version, the name of a stack, of a
            device and a stack, ``published``, or a results directory.

    Raises:
        UserError: a file that is needed is malformed, or there is nothing that ``against`` could mean.
    """
    places = places_of_device(directory, run.device.name)
    if against is None:
        return _by_version(run, places, load, directory)
    if against == PUBLISHED:
        return _published(run, places, load)
    named = baselines_named(directory, against, f"--against {against}")
    if isinstance(named, Path):
        return in_results(run, named, results(named))
    own = [place for place in named if "/" in against or place.device == run.device.name]
    if not own:
        there = ", ".join(place.stack_name for place in places) or "none"
        raise UserError(
            f"--against {against}: there is no such baseline of {run.device.name} in {directory}; there are: {there}"
        )
    place = min(own, key=lambda place: place.kind != run.stack.kind)
    match, incomparable = _pick(run, place, load, "named")
    return _resolution([match], [incomparable], f"{place.label} has no {run.case.id}")


def in_results(run: Run, directory: Path, read: RunsRead) -> Resolution:
    """Hold a run against the runs of another session.

    Runs of the run's own session are left out, and so are those that are not valid or never became steady, as in a
    refresh.

    Raises:
        UserError: there are no runs, one cannot be read, or the comparable ones are of several stacks.
    """
    _check_read(directory, read)
    same_case = [
        other
        for other in read.runs
        if other.case.configuration == run.case.configuration and other.session_id != run.session_id
    ]
    comparable: list[Run] = []
    reasons: dict[str, None] = {}
    for other in same_case:
        differing = differences(run.comparability, other.comparability)
        if other.not_usable:
            differing.append(f"run {other.run_id} {other.not_usable}")
        if differing:
            reasons.update(dict.fromkeys(differing))
        else:
            comparable.append(other)
    if not comparable:
        incomparable = Incomparable("named", str(directory), tuple(reasons)) if reasons else None
        return _resolution([], [incomparable], f"{directory} has no runs of {run.case.id} of another session")
    stacks = {stack.name: stack for stack in (other.stack for other in comparable)}
    if any(other.stack != comparable[0].stack for other in comparable):
        raise UserError(
            f"--against {directory}: holds runs of {run.case.id} on several stacks ({', '.join(sorted(stacks))}, or "
            "one with differing components): name the directory of one session"
        )
    first = comparable[0]
    return _resolution([Match("named", str(directory), first.device, first.stack, CaseBaseline.of(comparable))], [], "")


def _check_read(directory: Path, read: RunsRead) -> None:
    if read.problems:  # it may be one of those that a case is to be held against
        raise UserError(f"--against {directory}: {read.problems[0]}: remove that file, or name another directory")
    if not read.runs:
        raise UserError(f"--against {directory}: holds no run: name a results directory")


def newest_earlier(places: Sequence[Place], stack: Stack) -> list[Place]:
    """The places of earlier versions of the same kind, newest first; previews come before their releases."""
    earlier = [place for place in places if place.kind == stack.kind and place.order < stack.order]
    return sorted(earlier, key=lambda place: place.order, reverse=True)


def same_version(places: Sequence[Place], stack: Stack) -> list[Place]:
    """The places of the same version: that of the very name first, then other spellings (1.8 for 1.8.0)."""
    same = [place for place in places if place.kind == stack.kind and place.order == stack.order]
    return sorted(same, key=lambda place: (place.version != stack.version, place.version))


def _by_version(run: Run, places: Sequence[Place], load: Load, directory: Path) -> Resolution:
    drift, drift_not = _first(run, same_version(places, run.stack), load, "drift")
    release, release_not = _first(run, newest_earlier(places, run.stack), load, "release")
    return _resolution([drift, release], [*drift_not, *release_not], _why_none(run, places, directory))


def _published(run: Run, places: Sequence[Place], load: Load) -> Resolution:
    newest_first = sorted(places, key=lambda place: place.order, reverse=True)
    own_kind_first = sorted(newest_first, key=lambda place: place.kind != run.stack.kind)  # sorting is stable
    match, incomparable = _first(run, own_kind_first, load, "named", published_only=True)
    return _resolution([match], incomparable, f"nothing is published of {run.case.id} on {run.device.name}")


def check_against(against: str, directory: Path) -> None:
    """Refuse what ``against`` means on no device, before anything is measured.

    Args:
        against: as for ``resolve``; empty if nothing was named.
        directory: where the baselines lie.

    Raises:
        UserError: there is nothing of this name, or a results directory that cannot be read.
    """
    if against in ("", PUBLISHED):
        return
    named = baselines_named(directory, against, f"--against {against}")
    if isinstance(named, Path):
        _check_read(named, read_runs(named))


def _first(
    run: Run, places: Iterable[Place], load: Load, role: BaselineRole, *, published_only: bool = False
) -> tuple[Match | None, list[Incomparable]]:
    """The first place with a comparable entry, and why those before it have none."""
    passed: list[Incomparable] = []
    for place in places:
        match, incomparable = _pick(run, place, load, role, published_only=published_only)
        if match is not None:
            return match, passed
        if incomparable is not None:
            passed.append(incomparable)
    return None, passed


def _pick(
    run: Run, place: Place, load: Load, role: BaselineRole, *, published_only: bool = False
) -> tuple[Match | None, Incomparable | None]:
    """The comparable entry of a file, measured before published; else how the closest differs."""
    baseline = load(place)
    closest: list[str] | None = None
    entries = [case for case in baseline.cases if case.case.configuration == run.case.configuration]
    for case in sorted(entries, key=lambda case: case.provenance != "measured"):
        if published_only and case.provenance != "published":
            continue
        differing = baseline.differences(case, run.comparability)
        if not differing:
            return Match(role, place.label, baseline.device, baseline.stack_of(case), case), None
        if closest is None or len(differing) < len(closest):
            closest = differing
    return None, None if closest is None else Incomparable(role, place.label, tuple(closest))


def _why_none(run: Run, places: Sequence[Place], directory: Path) -> str:
    case, device, stack = run.case.id, run.device.name, run.stack
    if not places:
        return f"there are no baselines of {device} in {directory}"
    of_kind = [place for place in places if place.kind == stack.kind]
    if not of_kind:
        kinds = ", ".join(sorted({place.kind for place in places}))
        return f"the baselines of {device} are of other kinds of stack ({kinds}) than {stack.name}"
    if all(place.order > stack.order for place in of_kind):
        return f"the baselines of {device} are all of later versions than {stack.name}"
    return f"no baseline of {device} on {stack.name} or earlier has {case}"


def _resolution(
    matches: Sequence[Match | None], incomparable: Sequence[Incomparable | None], reason: str
) -> Resolution:
    found = tuple(match for match in matches if match is not None)
    not_used = tuple(item for item in incomparable if item is not None)
    if found:
        reason = ""
    elif not_used:
        reason = str(not_used[0])
    return Resolution(found, not_used, reason)
