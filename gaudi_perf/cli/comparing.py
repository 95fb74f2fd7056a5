"""What ``gaudi-perf compare`` compares: two sides, each a baseline, a stack, or a results directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gaudi_perf.judging.case import verdict_of
from gaudi_perf.judging.evidence import latency_samples
from gaudi_perf.judging.usual import NoiseHistory
from gaudi_perf.reports.baselines import Entry, Pair, entries_of
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.convert import case_baseline
from gaudi_perf.stores.places import STACK_KINDS, Place, parse_stack_name
from gaudi_perf.stores.results import read_runs
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.measurement import Run
from gaudi_perf.vocabulary.verdict import Verdict
from gaudi_perf.vocabulary.versions import parse_version

FORMS = (
    "write a device and a stack (gaudi2/synapse-1.24.0), a stack (synapse-1.24.0), a version (1.24.0), or a results "
    "directory (./results)"
)


@dataclass(frozen=True)
class NamedSide:
    """One side of a comparison.

    Attributes:
        name: as it was asked for.
        entries: all its cases.
        left_out: what could not be used, a sentence each.
    """

    name: str
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()


def side(text: str, store: BaselineStore) -> NamedSide:
    """Find what a side of a comparison names; a baseline goes before a directory of the same name.

    Raises:
        UserError: there is nothing of this name, or a file is malformed.
    """
    device, slash, stack_name = text.partition("/")
    if slash and (store.directory / device / f"{stack_name}.json").is_file():
        return NamedSide(text, tuple(entries_of(store.read(device, stack_name), text)))
    places = [] if slash else _places(text, store)
    if places:
        return NamedSide(text, tuple(entry for place in places for entry in entries_of(store.load(place), place.label)))
    if os.path.exists(text):
        return _results(Path(text))
    there = ", ".join(place.label for place in store.list()) or "none"
    raise UserError(
        f"{text}: there is no such baseline in {store.directory} and no such directory: {FORMS}; there are: {there}"
    )


def pairs_of(
    candidate: NamedSide, baseline: NamedSide, tolerance: float, history: NoiseHistory
) -> tuple[list[Pair], list[str]]:
    """Put the cases of two sides together.

    Returns:
        The cases that are on both sides and on the same device, and a sentence for whatever has no partner.
    """
    pairs: list[Pair] = []
    alone: list[str] = []
    used: set[int] = set()
    for entry in candidate.entries:
        partners = [
            other
            for other in baseline.entries
            if (other.case.id, other.device.name) == (entry.case.id, entry.device.name)
        ]
        used.update(id(other) for other in partners)
        if not partners:
            alone.append(f"{entry.device.name} {entry.case.id}: only in {candidate.name}")
            continue
        best = min(partners, key=lambda other: (len(differences(entry, other)), other.case.provenance != "measured"))
        differing = tuple(differences(entry, best))
        judged = None if differing else judge(entry, best, tolerance, history)
        pairs.append(Pair(entry, best, differing, judged))
    alone += [
        f"{other.device.name} {other.case.id}: only in {baseline.name}"
        for other in baseline.entries
        if id(other) not in used
    ]
    return pairs, list(dict.fromkeys(alone))


def differences(candidate: Entry, baseline: Entry) -> list[str]:
    """Why two entries cannot be compared, in words; empty if they can.

    A published number is of real weights on an unknown host; it is compared with any.
    """
    ours, theirs = candidate.case, baseline.case
    pairs: list[tuple[str, object, object]] = [
        ("scale", ours.scale, theirs.scale),
        ("dtype", ours.workload.dtype, theirs.workload.dtype),
        ("new tokens", ours.workload.new_tokens, theirs.workload.new_tokens),
        ("batch size", ours.workload.batch_size, theirs.workload.batch_size),
        ("prompt tokens", ours.workload.prompt_tokens, theirs.workload.prompt_tokens),
        ("prompt", ours.workload.prompt, theirs.workload.prompt),
        ("kind of stack", candidate.stack.kind, baseline.stack.kind),
    ]
    if "published" not in (ours.provenance, theirs.provenance):
        pairs.append(("weights", ours.weights, theirs.weights))
    if ours.host_class is not None and theirs.host_class is not None:
        pairs.append(("host class", ours.host_class, theirs.host_class))
    return [f"{field} {mine!r} is not {other!r}" for field, mine, other in pairs if mine != other]


def judge(ours: Entry, theirs: Entry, tolerance: float, history: NoiseHistory) -> Verdict | None:
    """Compare two entries; None for two published numbers, since of neither a spread is known."""
    candidate, baseline = ours.case, theirs.case
    if candidate.published is not None and baseline.published is not None:
        return None
    from gaudi_perf.statistics.verdict import as_published, compare

    measured = ours if candidate.published is None else theirs
    learned = history.usual(
        measured.case,
        measured.device.name,
        measured.case.host_class or "",
        measured.stack,
        {run.night for run in (*candidate.runs, *baseline.runs)},
        probes="published" not in (candidate.provenance, baseline.provenance)
        and all(run.probes_s is not None for run in (*candidate.runs, *baseline.runs)),
    )
    prior = None if learned is None else learned.prior
    mine, other = latency_samples(candidate.runs), latency_samples(baseline.runs)
    if baseline.published is not None:
        mine, other, prior = as_published(mine, baseline.published.latency_s, prior)
    elif candidate.published is not None:
        other, mine, prior = as_published(other, candidate.published.latency_s, prior)
    verdict = verdict_of(compare(mine, other, tolerance=tolerance, prior=prior), learned)
    published = "published" in (candidate.provenance, baseline.provenance)
    return msgspec.structs.replace(verdict, published=published, baseline=theirs.label, baseline_stack=theirs.stack)


def _places(text: str, store: BaselineStore) -> list[Place]:
    """The baselines of a stack or a version, on any device."""
    kind = None
    if text.partition("-")[0] in STACK_KINDS:
        kind, text = parse_stack_name(text, text)
    try:
        order = parse_version(text)
    except UserError:
        return []
    return [place for place in store.list() if place.order == order and kind in (None, place.kind)]


def _results(path: Path) -> NamedSide:
    read = read_runs(path)
    groups: dict[tuple[str, ...], list[Run]] = {}
    left_out = list(read.problems)
    for run in read.runs:
        if not run.measurement.valid:
            left_out.append(f"run {run.run_id} is INVALID: {run.measurement.problems[0]}")
        elif not run.measurement.warm_up.steady:
            left_out.append(f"run {run.run_id} never became steady: {run.measurement.warm_up.reason}")
        else:
            key = (run.device.name, run.stack.name, *case_baseline([run]).key)
            groups.setdefault(key, []).append(run)
    if not groups:
        why = f": {left_out[0]}" if left_out else ""
        raise UserError(f"{path}: holds no run that can be compared{why}")
    stacks: dict[tuple[str, str], str] = {}
    for runs in groups.values():
        for run in runs:
            other = stacks.setdefault((run.device.name, run.case.id), run.stack.name)
            if run.stack != runs[0].stack or other != run.stack.name:
                raise UserError(
                    f"{path}: holds runs of {run.case.id} on several stacks ({other}, {run.stack.name}, or one with "
                    "differing components): name the directory of one session"
                )
    entries = tuple(Entry(str(path), runs[0].device, runs[0].stack, case_baseline(runs)) for runs in groups.values())
    return NamedSide(str(path), entries, tuple(left_out))


def slowest_first(pairs: Sequence[Pair]) -> list[Pair]:
    """Slowest change first; what is incomparable last."""
    return sorted(pairs, key=lambda pair: (bool(pair.differing), pair.candidate.device.name, -pair.ratio))
