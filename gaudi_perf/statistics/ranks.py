"""Which rank of a group is slow. In rounds all wait for it; passes by themselves, which wait for none, show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

_FALSE_ALARMS = 0.01
"""How often a group whose ranks are alike may have a slow one; shared by its ranks (Bonferroni)."""
_LEAST = 0.05
"""What is slower by less than this share is not reported."""


@dataclass(frozen=True)
class SlowRank:
    """A rank that is slower than the others.

    Attributes:
        rank: which.
        by: how much longer its median pass takes than the median of all others', as a share.
    """

    rank: int
    by: float


def slow_rank(passes_s: Sequence[Sequence[float]]) -> SlowRank | None:
    """The rank whose passes take longer than those of all others together; None if there is none, or too few passes.

    One-sided Mann-Whitney U-test (Mann & Whitney 1947) of each rank against the others: ranks share a machine, whose
    disturbances make single passes many times longer.

    Args:
        passes_s: per rank, the durations of its passes.
    """
    from scipy.stats import mannwhitneyu

    if len(passes_s) < 2 or not all(passes_s):
        return None
    found = []
    for rank, mine in enumerate(passes_s):
        others = np.concatenate([other for index, other in enumerate(passes_s) if index != rank])
        by = median(mine) / float(np.median(others)) - 1
        if by >= _LEAST and mannwhitneyu(mine, others, alternative="greater").pvalue <= _FALSE_ALARMS / len(passes_s):
            found.append(SlowRank(rank, by))
    return max(found, key=lambda one: one.by, default=None)
