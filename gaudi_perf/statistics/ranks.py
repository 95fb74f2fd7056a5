"""How far apart the ranks of a group are, and which one is slow.

In rounds every rank waits for the slowest; only in a pass that each rank makes by itself does the slow one show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from gaudi_perf.vocabulary.run import RankSkew

_FALSE_ALARMS = 0.01
"""How often a group whose ranks are alike may have a slow one; shared by its ranks (Bonferroni)."""
_LEAST = 0.05
"""What is slower by less than this share is not reported."""


@dataclass(frozen=True)
class SlowRank:
    """A rank, and how much longer its median pass takes than the median of all others', as a share."""

    rank: int
    by: float


def slow_rank(passes_s: Sequence[Sequence[float]]) -> SlowRank | None:
    """The rank whose passes take longer than those of all others together; None if there is none, or too few passes.

    One-sided Mann-Whitney U-test (Mann & Whitney 1947) of each rank against the others: ranks share a machine, whose
    disturbances make single passes many times longer.
    """
    if len(passes_s) < 2 or not all(passes_s):
        return None
    from scipy.stats import mannwhitneyu  # takes half a second to import

    found = []
    for rank, mine in enumerate(passes_s):
        others = np.concatenate([other for index, other in enumerate(passes_s) if index != rank])
        by = median(mine) / float(np.median(others)) - 1
        if by >= _LEAST and mannwhitneyu(mine, others, alternative="greater").pvalue <= _FALSE_ALARMS / len(passes_s):
            found.append(SlowRank(rank, by))
    return max(found, key=lambda one: one.by, default=None)


def skew_of(rank_latencies_s: Sequence[Sequence[float]]) -> RankSkew | None:
    """How far apart ranks ended, and which lags; None for one rank.

    Args:
        rank_latencies_s: per rank, the duration of each round in seconds.
    """
    if len(rank_latencies_s) < 2:
        return None
    rounds = list(zip(*rank_latencies_s, strict=True))
    lagging = [max(range(len(round_)), key=round_.__getitem__) for round_ in rounds]
    ((rank, times),) = Counter(lagging).most_common(1)
    spread = median(max(round_) - min(round_) for round_ in rounds)
    return RankSkew(median_s=spread, lagging_rank=rank, lagging_share=times / len(rounds))
