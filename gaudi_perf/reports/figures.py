"""The figures of a case, computed from its runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gaudi_perf.statistics.roofline import roofline_of
from gaudi_perf.vocabulary.run import Run


@dataclass(frozen=True)
class Figures:
    """What a table shows of a case.

    Attributes:
        latency_s: median over runs of each run's median latency.
        spread: interquartile range of all rounds, relative to the median; None for fewer than four rounds.
        tokens_per_s: new tokens a second at that latency.
        first_token_s: median time to first token, if taken.
        per_output_token_s: median time per output token, if taken.
        limit_share: how near the memory's limit the latency is (1 is at the limit), if the bandwidth is known.
        rounds: timed rounds of all runs.
    """

    latency_s: float
    spread: float | None
    tokens_per_s: float
    first_token_s: float | None
    per_output_token_s: float | None
    limit_share: float | None
    peak_memory_bytes: int | None
    rounds: int
    runs: int
    steady: bool


def figures(runs: Sequence[Run]) -> Figures:
    """The figures of the runs of one case; there is at least one."""
    measurements = [run.measurement for run in runs]
    rounds = [latency for measurement in measurements for latency in measurement.latencies_s]
    latency = statistics.median(statistics.median(measurement.latencies_s) for measurement in measurements)
    first = [value for m in measurements if m.token_times for value in m.token_times.first_token_s]
    following = [value for m in measurements if m.token_times for value in m.token_times.per_output_token_s]
    workload = runs[0].case.workload
    limit = roofline_of(runs[0])
    return Figures(
        latency_s=latency,
        spread=_spread(rounds),
        tokens_per_s=workload.new_tokens * workload.batch_size / latency,
        first_token_s=statistics.median(first) if first else None,
        per_output_token_s=statistics.median(following) if following else None,
        limit_share=None if limit is None else limit.share(latency),
        peak_memory_bytes=max((m.peak_memory_bytes for m in measurements if m.peak_memory_bytes), default=None),
        rounds=len(rounds),
        runs=len(runs),
        steady=all(measurement.warm_up.steady for measurement in measurements),
    )


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 4:
        return None
    lower, middle, upper = statistics.quantiles(values, n=4)
    return (upper - lower) / middle
