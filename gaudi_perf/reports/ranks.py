"""What a session says of the ranks of a group: which one lags, and how far apart they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from gaudi_perf.statistics.ranks import slow_rank
from gaudi_perf.vocabulary.formats import counted, percent, seconds
from gaudi_perf.vocabulary.run import Measurement, Run

_LAST = 0.9
"""A rank that is last in this share of the rounds is always last."""
_LATE = 0.05
"""An end that is later than the first rank's by this share of the round is late."""


def lagging(runs: Sequence[Run]) -> str:
    """Which rank lags in most of the runs of a case, and how that is known; empty if none does."""
    found = [rank for run in runs for rank in [_slow(run.measurement)] if rank is not None]
    if not found:
        return ""
    ((rank, times),) = Counter(rank for rank, _ in found).most_common(1)
    if 2 * times <= len(runs):
        return ""
    (how, *_) = [text for number, text in found if number == rank]
    return f"rank {rank} lags: {how}" + (f" ({times} of {counted(len(runs), 'run')})" if len(runs) > 1 else "")


def rank_facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """For each rank of the first run its rounds and its passes by itself, in words; nothing for a single rank."""
    measurement = runs[0].measurement
    rounds, passes = measurement.rank_latencies_s or [], measurement.rank_passes_s or []
    if len(rounds) < 2:
        return []
    facts = []
    for rank, latencies in enumerate(rounds):
        text = f"rounds {seconds(median(latencies))}"
        if rank < len(passes) and passes[rank]:
            text += f", a pass alone {seconds(median(passes[rank]))}"
        facts.append((f"rank {rank}", text))
    skew = measurement.rank_skew
    if skew is not None and skew.median_s > 0:
        last = f"rank {skew.lagging_rank} last in {percent(skew.lagging_share)}"
        facts.append(("ends of a round", f"{seconds(skew.median_s)} apart; {last}"))
    lag = lagging(runs)
    return [*facts, ("slow rank", lag)] if lag else facts


def _slow(measurement: Measurement) -> tuple[int, str] | None:
    slow = slow_rank(measurement.rank_passes_s or [])
    if slow is not None:
        return slow.rank, f"its forward pass alone takes {percent(slow.by)} longer than the other ranks'"
    skew = measurement.rank_skew
    if skew is None or skew.lagging_share < _LAST or skew.median_s < _LATE * median(measurement.latencies_s):
        return None
    return (
        skew.lagging_rank,
        f"it is last in {percent(skew.lagging_share)} of the rounds, {seconds(skew.median_s)} after the first rank",
    )
