"""Baselines as tables: one in full, and two compared case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gaudi_perf.reports.terminal import STYLES
from gaudi_perf.reports.text import Cell, Words
from gaudi_perf.reports.wording import NOT_THE_MEDIANS, difference, full_text, level_reason, stack_differences
from gaudi_perf.stores.refresh import CaseChange
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline, Entry, Published
from gaudi_perf.vocabulary.formats import change, interval, percent, seconds, slower_or_faster, throughput
from gaudi_perf.vocabulary.run import runs_apart
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

_UNKNOWN = "-"


@dataclass(frozen=True)
class Pair:
    """A candidate's entry and that of the baseline: why they cannot be compared, in words, or how they were judged.

    Neither stands where both are published numbers, of which no spread is known.
    """

    candidate: Entry
    baseline: Entry
    differing: tuple[str, ...] = ()
    judged: Verdict | None = None

    @property
    def ratio(self) -> float:
        """The estimate, or where nothing was judged the ratio of the levels; 1.10 is 10 % slower."""
        estimate = None if self.judged is None else self.judged.ratio
        return self.ratio_of_levels if estimate is None else estimate

    @property
    def ratio_of_levels(self) -> float:
        """The level of the candidate to that of the baseline."""
        return self.candidate.case.level_s / self.baseline.case.level_s


def changed_levels(changes: Sequence[CaseChange]) -> Words:
    """The levels that a refresh changed, and those that it refused beside them; no rows where none changed."""
    rows: list[Sequence[Cell]] = []
    moved = [found for found in changes if found.kind != "unchanged" or not found.written]
    for found in moved if any(one.written for one in moved) else ():
        current = found.current
        rows.append(
            (
                found.case_id,
                found.label,
                _UNKNOWN if current is None else f"{seconds(current.case.level_s)} ({current.stack_name})",
                _UNKNOWN if found.level_s is None else seconds(found.level_s),
                _UNKNOWN if found.ratio is None else change(found.ratio),
                level_reason(found),
            )
        )
    numbers = ("level before", "level", "change")
    return Words("", ("case", "baseline", *numbers, "what and why"), rows, right=numbers)


def description(baseline: Baseline) -> Words:
    """A baseline in full."""
    rows: list[Sequence[Cell]] = []
    notes: list[str] = []
    what: dict[str, list[str]] = {}
    for case in baseline.cases:
        apart = runs_apart(case.runs)
        rows.append(
            (
                case.id,
                seconds(case.level_s),
                throughput(case.case.workload.tokens_per_s(case.level_s)),
                str(len(case.runs)) if case.runs else _UNKNOWN,
                _UNKNOWN if apart is None else percent(apart),
                _UNKNOWN if case.anchor is None else change(case.level_s / case.anchor.latency_s),
                case.provenance,
            )
        )
        options = f", options: {case.case.options}" if case.case.options else ""
        what.setdefault(f"{case.case.workload.words}, weights: {case.case.made_of}{options}", []).append(case.id)
        notes += _case_notes(case)
        if case.stack is not None:
            differing = "; ".join(stack_differences(baseline.stack, case.stack))
            notes.append(f"{case.id}: measured on a stack of its own: {differing}")
    workloads = [
        ("workload: " if len(what) == 1 else f"workload of {', '.join(dict.fromkeys(ids))}: ") + words
        for words, ids in what.items()
    ]
    components = ", ".join(f"{name} {version}" for name, version in sorted(baseline.stack.components.items()))
    heading = f"{baseline.device.name}/{baseline.stack.name}" + (f" ({components})" if components else "")
    numbers = ("level", "tok/s", "runs", "runs apart", "vs best")
    notes = list(dict.fromkeys([*workloads, *notes]))
    return Words(heading, ("case", *numbers, "provenance"), rows, notes, right=numbers)


def comparison(pairs: Sequence[Pair], alone: Sequence[str], title: str) -> Words:
    """Two sides case by case, with a sentence for whatever is ``alone`` on its side."""
    rows: list[Sequence[Cell]] = []
    notes: list[str] = []
    judged = any(pair.judged is not None for pair in pairs)
    several = len({pair.candidate.device.name for pair in pairs}) > 1
    for pair in pairs:
        device: list[Cell] = [pair.candidate.device.name] if several else []
        sides = [seconds(pair.candidate.case.level_s), seconds(pair.baseline.case.level_s)]
        where = f"{pair.candidate.device.name} {pair.candidate.case.id}" if several else pair.candidate.case.id
        change_cell, interval_cell, verdict_cell = _outcome(pair)
        intervals: list[Cell] = [interval_cell] if judged else []
        rows.append((*device, pair.candidate.case.id, *sides, change_cell, *intervals, verdict_cell))
        if pair.differing:
            notes.append(f"{where}: incomparable: {'; '.join(pair.differing)}")
        elif pair.judged is not None and pair.judged.kind not in (VerdictKind.UNCHANGED, VerdictKind.IMPROVED):
            notes.append(f"{where}: {pair.judged.kind.value}: {full_text(pair.judged)}")
    if any(pair.judged is None and not pair.differing for pair in pairs):
        notes.append(
            "no spread: two published numbers are compared; their ratio is known, and how far it is chance is not, so "
            "there is no verdict"
        )
    if any(change(pair.ratio) != change(pair.ratio_of_levels) for pair in pairs):
        notes.append(f"the change is an estimate, not the ratio of the medians: {NOT_THE_MEDIANS}")
    notes += [
        f"{entry.label}: {_published(entry.case.published)}"
        for pair in pairs
        for entry in (pair.candidate, pair.baseline)
        if entry.case.published is not None
    ]
    changed = dict.fromkeys(line for pair in pairs for line in _changed(pair))
    if changed:
        notes.append(f"changed in the stack: {', '.join(changed)}")
    titles = ("median A", "median B") if judged else ("A", "B")
    columns = (*(["device"] * several), "case", *titles, "change", *(["interval"] * judged), "verdict")
    return Words(title, columns, rows, (*dict.fromkeys(notes), *alone), right=titles)


def _changed(pair: Pair) -> list[str]:
    """What differs in the stack; pages do not name every component, so what only one names has not changed."""
    lines = stack_differences(pair.baseline.stack, pair.candidate.stack)
    if pair.baseline.case.published is None and pair.candidate.case.published is None:
        return lines
    return [line for line in lines if not line.endswith("-> none") and " none -> " not in line]


def _outcome(pair: Pair) -> tuple[Cell, Cell, Cell]:
    if pair.differing:
        return (_UNKNOWN, _UNKNOWN, ("incomparable", "cyan"))
    judged = pair.judged
    if judged is None:
        return (slower_or_faster(pair.ratio), _UNKNOWN, ("no spread", "cyan"))
    assert judged.low is not None and judged.high is not None
    return (difference(pair.ratio, judged), interval(judged.low, judged.high), (judged.kind.value, STYLES[judged.kind]))


def _case_notes(case: CaseBaseline) -> list[str]:
    notes = []
    if case.anchor is not None and case.level_s > case.anchor.latency_s:
        words = slower_or_faster(case.level_s / case.anchor.latency_s)
        of = f" on {case.anchor.stack}" if case.anchor.stack else ""
        notes.append(
            f"{case.id}: {words} than the best, {seconds(case.anchor.latency_s)} of {case.anchor.accepted_on}{of}"
        )
    notes += [
        f"{case.id}: accepted on {item.accepted_on}: {slower_or_faster(item.ratio)}"
        f"{f' than {item.against}' if item.against else ''}: {item.reason}"
        for item in case.accepted_regressions
    ]
    if case.published is not None:
        notes.append(_published(case.published))
    if case.host_class:
        notes.append(f"measured on {case.host_class}")
    return notes


def _published(number: Published) -> str:
    about = f"; {number.note}" if number.note else ""
    return f"published on {number.published_on}: {number.address}{about}"
