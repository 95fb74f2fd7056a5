"""By which rules cases are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES, Metric


@dataclass(frozen=True)
class Rules:
    """What counts as a verdict.

    Attributes:
        tolerances: the slowdown that nobody minds, for each metric; 0.05 is 5 %.
        gates: the metrics whose verdicts decide a test. The others are judged for information.
        false_alarms: permitted rate of each kind of mistake in each comparison by itself.
        slower_level: permitted rate of a false REGRESSED of this case among all cases of the session; its comparisons
            share it.
        faster_level: the same of IMPROVED.
        cases: how many cases the session has.
    """

    tolerances: Mapping[Metric, float] = field(default_factory=lambda: dict(TOLERANCES))
    gates: frozenset[Metric] = frozenset({LATENCY})
    false_alarms: float = 0.005
    slower_level: float = 1.0
    faster_level: float = 1.0
    cases: int = 1
