"""What another run costs, from those that were measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from gaudi_perf.vocabulary.run import Run

_OF_GROUP = ("start", "load")
_PART_OF_START = "start: "
"""Begins the phases that the start of several ranks consists of; they are parts of ``start``, told beside it."""


def seconds_per_run(runs: Sequence[Run], session: Iterable[Run]) -> float | None:
    """About how long another run of a case takes, in a fresh worker group.

    Args:
        session: all runs of the session. Starting and loading are recorded once a group, by the run that paid for them;
            the dearest of those with the same model and device count counts.
    """
    if not runs:
        return None
    own = fmean(
        sum(
            seconds
            for phase, seconds in run.measurement.phases_s.items()
            if phase not in _OF_GROUP and not phase.startswith(_PART_OF_START)
        )
        for run in runs
    )
    ours = runs[0].case.configuration
    starts = [
        sum(run.measurement.phases_s.get(phase, 0.0) for phase in _OF_GROUP)
        for run in session
        if (run.case.configuration.model, run.case.configuration.devices) == (ours.model, ours.devices)
    ]
    return (own + max(starts, default=0.0)) or None
