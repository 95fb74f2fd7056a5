"""The baselines of a device, for the page: their rounds, and their levels on every stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import Verdict


@dataclass(frozen=True)
class StoredBaselines:
    """The baseline files of some devices, by label.

    Attributes:
        problems: a sentence for each file that could not be read.
    """

    by_label: dict[str, Baseline]
    problems: tuple[str, ...] = ()
    _cases: dict[tuple[str, str], list[CaseBaseline]] = field(default_factory=dict)

    def behind(self, verdict: Verdict, run: Run) -> CaseBaseline | None:
        """The entry that a verdict was held against, or None where it is not stored (any more)."""
        found = self.by_label.get(verdict.baseline)
        level = verdict.baseline_median_s
        if found is None or level is None:
            return None
        for case in self._named(verdict.baseline, run.case.id):
            same = not found.differences(case, run.comparability)
            if same and abs(case.level_s / level - 1) < 1e-6:  # else it was refreshed since
                return case
        return None

    def levels(self, run: Run) -> Iterator[tuple[Stack, float]]:
        """Stack and level in seconds of every entry that a run could be compared with."""
        for label, baseline in self.by_label.items():
            for case in self._named(label, run.case.id):
                if not baseline.differences(case, run.comparability):
                    yield baseline.stack_of(case), case.level_s

    def _named(self, label: str, case_id: str) -> Sequence[CaseBaseline]:
        if not self._cases:
            for name, baseline in self.by_label.items():
                for case in baseline.cases:
                    self._cases.setdefault((name, case.id), []).append(case)
        return self._cases.get((label, case_id), ())


def stored_baselines(directory: Path, devices: set[str]) -> StoredBaselines:
    """Read the baselines of these devices; what is malformed is told, and the page is made without it."""
    store = BaselineStore(directory)
    found: dict[str, Baseline] = {}
    problems: list[str] = []
    try:
        places = [place for place in store.list() if place.device in devices]
    except UserError as error:
        return StoredBaselines({}, (str(error),))
    for place in places:
        try:
            found[place.label] = store.load(place)
        except UserError as error:
            problems.append(str(error))
    return StoredBaselines(found, tuple(problems))
