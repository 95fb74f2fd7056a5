"""How much is measured, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasurementPlan:
    """How much is measured: ``rounds`` as far as the budget goes, ``minimum_rounds`` whatever they cost.

    ``warm_up_limit``: most rounds before those that count, at least 2. In ``token_rounds`` the time of every token is
    taken. ``budget_s``: for warm-up and rounds of a case in a run, in seconds, from the end of the first round.
    """

    rounds: int = 10
    minimum_rounds: int = 3
    warm_up_limit: int = 20
    token_rounds: int = 3
    budget_s: float = 20.0


@dataclass(frozen=True)
class Deadlines:
    """How long a worker group may be silent, in seconds: in its start, until it connects, in loading, in a round.

    A round includes the compilation of its graphs. ``host``: until a host of whose ranks nothing is heard counts as
    lost; their agents report every second.
    """

    start: float = 120.0
    load: float = 1800.0
    round: float = 900.0
    host: float = 60.0
