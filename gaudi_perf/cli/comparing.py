"""What ``gaudi-perf compare`` compares: two sides, each a baseline, a stack, or a results directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gaudi_perf.judging.entries import compared_entries
from gaudi_perf.judging.noise import NoiseHistory
from gaudi_perf.reports.baselines import Pair
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.places import baselines_named
from gaudi_perf.stores.results import read_runs, require_one_stack, why_not_usable
from gaudi_perf.vocabulary.baseline import CaseBaseline, Entry
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Comparability, Run


@dataclass(frozen=True)
class NamedSide:
    """One side of a comparison, as it was asked for, with a sentence for whatever of it could not be used."""

    name: str
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()


def side(text: str, store: BaselineStore) -> NamedSide:
    """Find what a side of a comparison names; a baseline goes before a directory of the same name.
    Raises UserError if there is nothing of this name, or a file is malformed.
    """
    named = baselines_named(store.directory, text, text)
    if isinstance(named, Path):
        return _results(named)
    return NamedSide(text, tuple(entry for place in named for entry in store.load(place).entries(place.label)))


def pairs_of(
    candidate: NamedSide, baseline: NamedSide, tolerance: float, history: NoiseHistory
) -> tuple[list[Pair], list[str]]:
    """The cases that are on both sides and on the same device, and a sentence for whatever has no partner."""
    pairs: list[Pair] = []
    alone: list[str] = []
    used: set[int] = set()
    for entry in candidate.entries:
        partners = [
            other
            for other in baseline.entries
            if (other.case.case.configuration, other.device.name) == (entry.case.case.configuration, entry.device.name)
        ]
        used.update(id(other) for other in partners)
        if not partners:
            alone.append(f"{entry.device.name} {entry.case.id}: only in {candidate.name}")
            continue
        published = entry.case.published is not None
        candidates = [(other.differences(entry.comparability, published=published), other) for other in partners]
        differing, best = min(candidates, key=lambda one: (len(one[0]), one[1].case.provenance != "measured"))
        judged = None if differing else compared_entries(entry, best, tolerance, history)
        pairs.append(Pair(entry, best, tuple(differing), judged))
    alone += [
        f"{other.device.name} {other.case.id}: only in {baseline.name}"
        for other in baseline.entries
        if id(other) not in used
    ]
    return pairs, list(dict.fromkeys(alone))


def _results(path: Path) -> NamedSide:
    read = read_runs(path)
    cases: dict[tuple[str, Case], list[Run]] = {}
    groups: dict[Comparability, list[Run]] = {}
    left_out = list(read.problems)
    for run in read.runs:
        if not run.usable:
            left_out.append(f"run {run.run_id} {why_not_usable(run)}")
        else:
            cases.setdefault((run.device.name, run.case), []).append(run)
            groups.setdefault(run.comparability, []).append(run)
    if not groups:
        why = f": {left_out[0]}" if left_out else ""
        raise UserError(f"{path}: holds no run that can be compared{why}")
    for runs in cases.values():
        require_one_stack(runs, str(path))
    entries = tuple(Entry(str(path), runs[0].device, runs[0].stack, CaseBaseline.of(runs)) for runs in groups.values())
    return NamedSide(str(path), entries, tuple(left_out))


def slowest_first(pairs: Sequence[Pair]) -> list[Pair]:
    """Slowest change first; what is incomparable last."""
    return sorted(pairs, key=lambda pair: (bool(pair.differing), pair.candidate.device.name, -pair.ratio))
