"""Judges the cases of a session: each when its test comes; with ``--runs auto`` after every run, until settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from gaudi_perf.judging import CaseJudge, Judgement, NoiseHistory, evidence_against_baselines, evidence_side_by_side
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.session.settings import Settings
from gaudi_perf.statistics.sequential import StoppingPlan
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import Run

RunsOfSide = Mapping[Case, Sequence[Run]]
"""What was measured on one stack so far."""

_OF_GROUP = ("start", "load")
"""Phases of a group; those that begin like one are its parts (``start: imports``), reported beside it."""


MOST_REPLACED = 3
"""So many runs that never became steady are measured once more where baselines are refreshed, which takes steady ones;
of a case that is never steady no more runs would be."""


class SessionJudge:
    """Keeps what was judged, and the false-alarm rate that all cases share."""

    def __init__(self, settings: Settings, baselines: BaselineStore, cases: int) -> None:
        """``cases``: how many this machine can run."""
        self._settings = settings
        self._baselines = baselines
        self.history = NoiseHistory.of(settings.results_directory, baselines)
        self.testing = MultipleTesting(cases)
        self._started = time.monotonic()
        self._judges: dict[Case, CaseJudge] = {}
        self._last: dict[Case, tuple[int, Judgement]] = {}

    def enough(self, sides: Sequence[RunsOfSide], share: float) -> Callable[[Case, int], bool]:
        """Whether a case of these needs no more runs, given how many it has; all may take a share of the time left."""
        settings = self._settings
        begin = time.monotonic()
        limit: float | None = None
        if settings.budget_s is not None:
            limit = max(0.0, settings.budget_s - (begin - self._started)) * share

        def enough(case: Case, done: int) -> bool:
            if settings.refresh_baselines and not settings.as_it_takes:
                unsteady = sum(not run.steady and run.valid for run in sides[0].get(case, ()))
                return done >= settings.runs + min(unsteady, MOST_REPLACED)
            if not settings.as_it_takes or done == 0:
                return done >= settings.runs
            spent = time.monotonic() - begin
            # Whether another pass would not end in time.
            no_time = limit is not None and spent + spent / done > limit
            return self._analyze(case, sides, no_time).settled or done >= settings.runs

        return enough

    def judge(self, case: Case, sides: Sequence[RunsOfSide]) -> Judgement:
        """The judgement of a case, when its runs are there.
        Raises UserError if a baseline that is needed is malformed, or ``--against`` names none.
        """
        runs, judgement = self._last.get(case, (0, None))
        if judgement is None or runs != len(sides[0][case]):
            judgement = self._analyze(case, sides, budget_spent=False)
        self.testing.add(case, judgement)
        return judgement

    def _analyze(self, case: Case, sides: Sequence[RunsOfSide], budget_spent: bool) -> Judgement:
        settings, runs = self._settings, [side[case] for side in sides]
        if case not in self._judges:
            first = min(StoppingPlan.first, settings.runs)
            plan = StoppingPlan(most=settings.runs, first=first) if settings.as_it_takes else None
            self._judges[case] = CaseJudge(self.testing.rules(settings.rules), plan)
        if len(runs) == 2:
            evidence = evidence_side_by_side(*runs, rounds_in_turns=settings.rounds_in_turns)
        else:
            evidence = evidence_against_baselines(runs[0], self._baselines, settings.against, self.history)
        everything = [run for side in sides for those in side.values() for run in those]
        cost = seconds_per_run([run for those in runs for run in those], everything)
        judgement = self._judges[case].judge(evidence, budget_spent=budget_spent, seconds_per_run=cost)
        self._last[case] = len(runs[0]), judgement
        return judgement


def seconds_per_run(runs: Sequence[Run], session: Iterable[Run]) -> float | None:
    """About how long another run of a case takes, in a fresh worker group.

    Starting and loading are recorded once a group, by the run that paid for them; of those of all runs of the session
    with the same model and device count, the dearest counts.
    """
    phases = [run.measurement.phases_s.items() for run in runs]
    own = fmean(sum(seconds for phase, seconds in each if not phase.startswith(_OF_GROUP)) for each in phases)
    ours = runs[0].case.configuration
    starts = [
        sum(run.measurement.phases_s.get(phase, 0.0) for phase in _OF_GROUP)
        for run in session
        if (run.case.configuration.model, run.case.configuration.devices) == (ours.model, ours.devices)
    ]
    return (own + max(starts, default=0.0)) or None
