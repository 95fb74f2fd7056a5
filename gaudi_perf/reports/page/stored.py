"""The baselines of a device, for the page: their rounds, and their levels on every stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.places import Place
from gaudi_perf.vocabulary.baseline import CaseBaseline, Entry
from gaudi_perf.vocabulary.errors import noted
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import Verdict


class StoredBaselines:
    """The baselines of some devices, their stacks by name, and a sentence for each file that could not be read."""

    def __init__(self, directory: Path, devices: set[str]) -> None:
        store = BaselineStore(directory)
        self.problems: list[str] = []
        self.stacks: dict[str, Stack] = {}
        self._entries: dict[str, list[Entry]] = {}  # by case id
        places: Sequence[Place] = ()
        with noted(self.problems):
            places = store.list()
        for place in places:
            if place.device in devices:
                with noted(self.problems):
                    baseline = store.load(place)
                    self.stacks[place.stack_name] = baseline.stack
                    for entry in baseline.entries:
                        self._entries.setdefault(entry.case.id, []).append(entry)

    @property
    def entries(self) -> Iterator[Entry]:
        """All of them, those of a case file by file."""
        return chain.from_iterable(self._entries.values())

    def behind(self, verdict: Verdict, run: Run) -> CaseBaseline | None:
        """The entry that a verdict compares with, or None where it is not stored (any more)."""
        level = verdict.baseline_median_s
        for entry in self._entries.get(run.case.id, ()):
            same = entry.label == verdict.baseline and not entry.differences(run.comparability)
            if same and level is not None and abs(entry.case.level_s / level - 1) < 1e-6:  # else it was refreshed since
                return entry.case
        return None

    def levels(self, run: Run) -> Iterator[tuple[Stack, float]]:
        """Stack and level in seconds of every entry that a run could be compared with."""
        for entry in self._entries.get(run.case.id, ()):
            if not entry.differences(run.comparability):
                yield entry.stack, entry.case.level_s
