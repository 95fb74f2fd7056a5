"""How much is measured, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasurementPlan:
    """How much is measured.

    Attributes:
        rounds: timed rounds of a run, if the budget allows.
        minimum_rounds: timed rounds that are taken whatever they cost.
        warm_up_limit: most rounds before those that count, at least 2; if they are not steady by then, the run says so.
        token_rounds: rounds in which the time of every token is taken.
        budget_s: for the warm-up and the rounds of a case in a run, in seconds, from the end of the first round.
    """

    rounds: int = 10
    minimum_rounds: int = 3
    warm_up_limit: int = 20
    token_rounds: int = 3
    budget_s: float = 20.0


@dataclass(frozen=True)
class Deadlines:
    """How long a worker group may be silent, in seconds, by phase.

    Attributes:
        start: from the start of the process until it connects.
        load: until the model is there.
        round: for each generation, compilation of graphs included.
        host: until a host of whose ranks nothing is heard counts as lost; their agents report every second.
    """

    start: float = 120.0
    load: float = 1800.0
    round: float = 900.0
    host: float = 60.0
