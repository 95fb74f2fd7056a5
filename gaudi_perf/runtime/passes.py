"""Measures the cases that share a worker group, in passes: each pass has fresh groups, and a run of every case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gaudi_perf.runtime.group import GroupFailure
from gaudi_perf.runtime.measuring import Measurer
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.measurement import Run


@dataclass
class Side:
    """One stack of a session.

    Attributes:
        measurer: measures on it.
        runs: what was measured, by case id.
    """

    measurer: Measurer
    runs: dict[str, list[Run]] = field(default_factory=dict)


class Passes:
    """Measures on one stack, or on two in the order ABBA: what drifts slowly meets both alike.

    Only one worker group lives at a time, for an accelerator can usually be held by one process alone.
    """

    def __init__(self, sides: Sequence[Side], keep: Callable[[Run], None]) -> None:
        """Nothing is measured yet.

        Args:
            sides: the stacks; the first is the one in question.
            keep: stores a run.
        """
        self.sides = list(sides)
        self.failures: dict[str, GroupFailure] = {}
        self._keep = keep

    def measure(self, cases: Sequence[Case], enough: Callable[[Case, int], bool]) -> None:
        """Measure until every case has enough runs, or failed.

        Args:
            cases: they share a worker group.
            enough: whether a case needs no more runs, given how many it has.

        Raises:
            UserError: a run could not be stored, or an accelerator cannot be used as asked.
        """
        done = 0
        while left := [case for case in cases if case.id not in self.failures and not enough(case, done)]:
            for side in self.sides if done % 2 == 0 else reversed(self.sides):
                if done > 0 or len(self.sides) > 1:
                    self._end_groups()
                for case in left:
                    self._run(side, case)
            done += 1

    def _run(self, side: Side, case: Case) -> None:
        if case.id in self.failures:
            return
        try:
            run = side.measurer.measure(case)
        except GroupFailure as failure:
            self.failures[case.id] = failure
            return
        side.runs.setdefault(case.id, []).append(run)
        self._keep(run)

    def _end_groups(self) -> None:
        for side in self.sides:
            side.measurer.end_group()
