"""The baselines of a device, for the page: their rounds, and their levels on every stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import Verdict


class StoredBaselines:
    """The baseline files of some devices, by label, with a sentence for each that could not be read."""

    def __init__(self, directory: Path, devices: set[str]) -> None:
        store = BaselineStore(directory)
        self.by_label: dict[str, Baseline] = {}
        self.problems: list[str] = []
        self._cases: dict[tuple[str, str], list[CaseBaseline]] = {}
        try:
            places = [place for place in store.list() if place.device in devices]
        except UserError as error:
            self.problems.append(str(error))
            return
        for place in places:
            try:
                self.by_label[place.label] = store.load(place)
            except UserError as error:
                self.problems.append(str(error))
                continue
            for case in self.by_label[place.label].cases:
                self._cases.setdefault((place.label, case.id), []).append(case)

    def behind(self, verdict: Verdict, run: Run) -> CaseBaseline | None:
        """The entry that a verdict was held against, or None where it is not stored (any more)."""
        level = verdict.baseline_median_s
        for case in self._cases.get((verdict.baseline, run.case.id), ()):
            same = not self.by_label[verdict.baseline].differences(case, run.comparability)
            if same and level is not None and abs(case.level_s / level - 1) < 1e-6:  # else it was refreshed since
                return case
        return None

    def levels(self, run: Run) -> Iterator[tuple[Stack, float]]:
        """Stack and level in seconds of every entry that a run could be compared with."""
        for label, baseline in self.by_label.items():
            for case in self._cases.get((label, run.case.id), ()):
                if not baseline.differences(case, run.comparability):
                    yield baseline.stack_of(case), case.level_s
