"""The figures of a case, computed from its runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gaudi_perf.statistics.roofline import Roofline, roofline_of
from gaudi_perf.vocabulary.run import Run, level_of, median_of


@dataclass(frozen=True)
class Figures:
    """What a table shows of a case; the latency is the level of the runs.

    ``spread``: interquartile range of all rounds, relative to the median; None for fewer than four rounds.
    ``limit``: the memory's, if the bandwidth is known.
    """

    latency_s: float
    spread: float | None
    tokens_per_s: float
    first_token_s: float | None
    per_output_token_s: float | None
    limit: Roofline | None
    peak_memory_bytes: int | None
    rounds: int
    runs: int
    steady: bool

    @property
    def limit_share(self) -> float | None:
        """How near the memory's limit the latency is; 1 is at the limit."""
        return None if self.limit is None else self.limit.share(self.latency_s)


def figures(runs: Sequence[Run]) -> Figures:
    """The figures of the runs of one case; there is at least one."""
    rounds = [latency for run in runs for latency in run.measurement.latencies_s]
    latency, quartiles = level_of(runs), statistics.quantiles(rounds, n=4) if len(rounds) >= 4 else None
    return Figures(
        latency_s=latency,
        spread=None if quartiles is None else (quartiles[2] - quartiles[0]) / quartiles[1],
        tokens_per_s=runs[0].case.workload.tokens_per_s(latency),
        first_token_s=median_of(runs, "first-token"),
        per_output_token_s=median_of(runs, "per-token"),
        limit=roofline_of(runs[0]),
        peak_memory_bytes=max((int(value) for run in runs for value in run.values("memory")), default=None),
        rounds=len(rounds),
        runs=len(runs),
        steady=all(run.measurement.warm_up.steady for run in runs),
    )
