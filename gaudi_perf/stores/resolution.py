"""Which baselines a run is compared with, and which cannot be compared with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.places import Place, baselines_named, places_of_device
from gaudi_perf.stores.results import RunsRead, read_runs, require_one_stack, why_not_usable
from gaudi_perf.vocabulary.baseline import CaseBaseline, Entry
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run, differences
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import BaselineRole

PUBLISHED = "published"
"""What ``--against`` says for the newest published number."""


@dataclass(frozen=True)
class Match(Entry):
    """What a run is compared with: an entry of a baseline, or of a results directory."""

    role: BaselineRole


@dataclass(frozen=True)
class Resolution:
    """What a run is compared with, drift before release; without a match the reason why, in a clause: NO BASELINE."""

    matches: tuple[Match, ...]
    reason: str = ""


def resolve(store: BaselineStore, run: Run, against: str = "") -> Resolution:
    """Find the baselines that a run is compared with.
    Raises UserError if a file that is needed is malformed, or there is nothing that ``against`` could mean.

    Args:
        run: its own documents need not be stored.
        against: empty for the same version (drift) and the newest earlier one (release); else a version, the name of a
            stack, of a device and a stack, ``published``, or a results directory.
    """
    places = places_of_device(store.directory, run.device.name)
    if not against:
        drift = _first(run, same_version(places, run.stack), store, "drift")
        release = _first(run, newest_earlier(places, run.stack), store, "release")
        return _resolution([drift, release], _why_none(run, places, store.directory))
    if against == PUBLISHED:
        newest_first = sorted(places, key=lambda place: place.order, reverse=True)
        own_kind_first = sorted(newest_first, key=lambda place: place.kind != run.stack.kind)  # sorting is stable
        found = _first(run, own_kind_first, store, "named", published_only=True)
        return _resolution([found], f"nothing is published of {run.case.id} on {run.device.name}")
    named = baselines_named(store.directory, against, f"--against {against}")
    if isinstance(named, Path):
        return _in_results(run, named, store.read_results(named))
    own = [place for place in named if "/" in against or place.device == run.device.name]
    if not own:
        there = ", ".join(place.stack_name for place in places) or "none"
        raise UserError(
            f"--against {against}: there is no such baseline of {run.device.name} in {store.directory}; "
            f"there are: {there}"
        )
    place = min(own, key=lambda place: place.kind != run.stack.kind)
    return _resolution([_first(run, [place], store, "named")], f"{place.label} has no {run.case.id}")


def check_against(against: str, directory: Path) -> None:
    """Refuse what ``against`` (empty if nothing was named) means on no device, before anything is measured.
    Raises UserError if there is nothing of this name, or a results directory that cannot be read.
    """
    if against in ("", PUBLISHED):
        return
    named = baselines_named(directory, against, f"--against {against}")
    if isinstance(named, Path):
        _check_read(named, read_runs(named))


def newest_earlier(places: Sequence[Place], stack: Stack) -> list[Place]:
    """The places of earlier versions of the same kind, newest first; previews come before their releases."""
    earlier = [place for place in places if place.kind == stack.kind and place.order < stack.order]
    return sorted(earlier, key=lambda place: place.order, reverse=True)


def same_version(places: Sequence[Place], stack: Stack) -> list[Place]:
    """The places of the same version: that of the very name first, then other spellings (1.8 for 1.8.0)."""
    same = [place for place in places if place.kind == stack.kind and place.order == stack.order]
    return sorted(same, key=lambda place: (place.version != stack.version, place.version))


def _in_results(run: Run, directory: Path, read: RunsRead) -> Resolution:
    """Hold a run against usable runs of other sessions, which must be of one stack."""
    _check_read(directory, read)
    comparable: list[Run] = []
    reasons: dict[str, None] = {}
    for other in read.runs:
        if other.case.configuration != run.case.configuration or other.session_id == run.session_id:
            continue
        differing = differences(run.comparability, other.comparability)
        if not other.usable:
            differing.append(f"run {other.run_id} {why_not_usable(other)}")
        reasons.update(dict.fromkeys(differing))
        if not differing:
            comparable.append(other)
    if not comparable:
        none = f"{directory} has no runs of {run.case.id} of another session"
        return Resolution((), _incomparable(str(directory), reasons) if reasons else none)
    require_one_stack(comparable, f"--against {directory}")
    first = comparable[0]
    return Resolution((Match(str(directory), first.device, first.stack, CaseBaseline.of(comparable), "named"),))


def _check_read(directory: Path, read: RunsRead) -> None:
    if read.problems:  # it may be one of those that a case is to be compared with
        raise UserError(f"--against {directory}: {read.problems[0]}: remove that file, or name another directory")
    if not read.runs:
        raise UserError(f"--against {directory}: holds no run: name a results directory")


def _first(
    run: Run, places: Iterable[Place], store: BaselineStore, role: BaselineRole, *, published_only: bool = False
) -> Match | str:
    """The entry of the first place with a comparable one; else why that of the first place is none, or empty."""
    why_not = ""
    for place in places:
        candidates = [
            (entry.differences(run.comparability), entry)
            for entry in store.load(place).entries
            if entry.case.case.configuration == run.case.configuration
            and not (published_only and entry.case.published is None)
        ]
        if candidates:
            differing, best = min(candidates, key=lambda one: (len(one[0]), one[1].case.provenance != "measured"))
            if not differing:
                return Match(best.label, best.device, best.stack, best.case, role)
            why_not = why_not or _incomparable(place.label, differing)
    return why_not


def _incomparable(label: str, differing: Iterable[str]) -> str:
    return f"{label} is incomparable: {'; '.join(differing)}"


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


def _resolution(found: Sequence[Match | str], none: str) -> Resolution:
    matches = tuple(one for one in found if isinstance(one, Match))
    reasons = [one for one in found if isinstance(one, str) and one]
    return Resolution(matches, "" if matches else [*reasons, none][0])
