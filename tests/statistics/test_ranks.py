from __future__ import annotations

import numpy as np
import pytest

from gaudi_perf.statistics.ranks import SlowRank, slow_rank


def passes(ranks: int, generator: np.random.Generator, slow: int | None = None, by: float = 0.0) -> list[list[float]]:
    """Sixteen passes of each rank on a machine where some single ones are disturbed badly."""
    made = generator.lognormal(-6, 0.03, (ranks, 16))
    made *= np.where(generator.random((ranks, 16)) < 0.05, 5.0, 1.0)
    if slow is not None:
        made[slow] *= 1 + by
    return made.tolist()


@pytest.mark.parametrize("ranks", [2, 8])
def test_a_rank_that_is_clearly_slower_is_named(ranks: int) -> None:
    generator = np.random.default_rng(2)
    for slow in range(ranks):
        found = [slow_rank(passes(ranks, generator, slow, by=0.3)) for _ in range(50)]
        assert sum(one is not None and one.rank == slow and 0.2 < one.by < 0.4 for one in found) >= 49


@pytest.mark.parametrize("ranks", [2, 8])
def test_alike_ranks_are_not_named(ranks: int) -> None:
    generator = np.random.default_rng(1)
    named = sum(slow_rank(passes(ranks, generator)) is not None for _ in range(2000))
    assert named <= 30, "20 of 2000 are allowed"


def test_what_is_small_or_unknown_is_not_told() -> None:
    fast = [1.0 + 0.0001 * number for number in range(8)]
    assert slow_rank([fast, [1.04 * value for value in fast]]) is None
    assert slow_rank([fast, [1.06 * value for value in fast]]) == SlowRank(1, pytest.approx(0.06))
    assert slow_rank([]) is slow_rank([fast]) is slow_rank([fast, []]) is None
