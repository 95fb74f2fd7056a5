"""Measures the cases that share a worker group, in passes: each pass has fresh groups, and a run of every case."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.workers.controller.group import GroupFailure
from gaudi_perf.workers.controller.measuring import Measurer


@dataclass
class Side:
    """One stack of a session, and what was measured on it."""

    measurer: Measurer
    runs: dict[Case, list[Run]] = field(default_factory=dict)


class Passes:
    """Measures on one stack, or on two in the order ABBA: what drifts slowly meets both alike.

    By default only one worker group lives at a time, for an accelerator can usually be held by one process alone; with
    ``rounds_in_turns`` those of two stacks live at once and take their rounds in that order, too. ``keep`` stores a
    run, which counts then, and ``counted`` is called.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        keep: Callable[[Run], object],
        *,
        counted: Callable[[], object] = lambda: None,
        rounds_in_turns: bool = False,
    ) -> None:
        self.sides = list(sides)
        self.failures: dict[Case, GroupFailure] = {}
        self._keep, self._counted = keep, counted
        self._rounds_in_turns = rounds_in_turns and len(self.sides) == 2

    def measure(self, cases: Sequence[Case], enough: Callable[[Case, int], bool]) -> None:
        """Measure cases that share a worker group until each has failed or needs no more runs than it has.

        Raises UserError if a run cannot be stored, or an accelerator cannot be used as asked.
        """
        done = 0
        while left := [case for case in cases if case not in self.failures and not enough(case, done)]:
            order = self.sides if done % 2 == 0 else self.sides[::-1]
            if self._rounds_in_turns:
                self._end_groups()
                for case in left:
                    self._pair(order, case)
            else:
                for side in order:
                    if done > 0 or len(self.sides) > 1:
                        self._end_groups()
                    for case in left:
                        self._run(side, case)
            done += 1

    def _run(self, side: Side, case: Case) -> None:
        if case not in self.failures:
            try:
                self._add(side, side.measurer.measure(case))
            except GroupFailure as failure:
                self.failures[case] = failure

    def _pair(self, order: Sequence[Side], case: Case) -> None:
        """A run on each stack, whose rounds alternate: whatever lasts longer than a round meets both alike."""
        steps = [side.measurer.steps(case, one_by_one=True) for side in order]
        runs: dict[int, Run] = {}
        try:
            for one in steps:
                next(one)  # until it is warm
            turns = itertools.cycle((0, 1, 1, 0))
            while len(runs) < len(steps):
                if (number := next(turns)) not in runs and (run := next(steps[number])) is not None:
                    runs[number] = run
        except GroupFailure as failure:
            self.failures[case] = failure
            self._end_groups()  # the other one is in the midst of its run
            return
        for number, side in enumerate(order):
            self._add(side, runs[number])

    def _add(self, side: Side, run: Run) -> None:
        self._keep(run)
        side.runs.setdefault(run.case, []).append(run)
        self._counted()

    def _end_groups(self) -> None:
        for side in self.sides:
            side.measurer.end_group()
