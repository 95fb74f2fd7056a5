from __future__ import annotations

import pytest

from gaudi_perf import protocol
from gaudi_perf.protocol import RoundsDone
from gaudi_perf.statistics.ranks import skew_of
from gaudi_perf.vocabulary.run import RankSkew
from gaudi_perf.workers.rank.merging import merged
from tests.ranks.conftest import MakeGroup, prepare, rounds
from tests.ranks.test_faults import Inject


def test_the_slowest_rank_counts_and_other_tokens_are_a_problem() -> None:
    first = RoundsDone(latencies_s=[1.0, 3.0], rows=[[1]], same_tokens=True, peak_memory_bytes=5)
    second = RoundsDone(
        latencies_s=[2.0, 1.0], rows=[[2]], same_tokens=True, peak_memory_bytes=7, problems=["throttled"]
    )
    done = merged([first, second])
    assert isinstance(done, RoundsDone)
    assert done.latencies_s == [2.0, 3.0] and done.rank_latencies_s == [[1.0, 3.0], [2.0, 1.0]]
    assert done.peak_memory_bytes == 7
    assert done.problems == ["rank 1: throttled", "rank 1 gave other tokens than rank 0"]


def test_passes_are_told_of_all_ranks_or_of_none() -> None:
    known, unknown = protocol.PassesAloneDone(rank_passes_s=[[1.0, 2.0]]), protocol.PassesAloneDone(rank_passes_s=[])
    assert merged([known, known]) == protocol.PassesAloneDone(rank_passes_s=[[1.0, 2.0], [1.0, 2.0]])
    assert merged([known, unknown]) == unknown


def test_skew_tells_the_rank_that_lags() -> None:
    assert skew_of([[1.0, 1.0, 1.0], [1.5, 1.2, 0.9]]) == RankSkew(
        median_s=pytest.approx(0.2), lagging_rank=1, lagging_share=pytest.approx(2 / 3)
    )
    assert skew_of([[1.0]]) is None and skew_of([]) is None


def test_a_rank_that_lags_is_told(make_group: MakeGroup, injected: Inject) -> None:
    injected(kind="lag", phase="lag", rank=1, seconds=0.2)
    group = make_group(2)
    group.start()
    group.load()
    prepare(group)
    done = rounds(group, 3)
    assert done.rank_latencies_s is not None
    skew = skew_of(done.rank_latencies_s)
    assert skew is not None and skew.lagging_rank == 1 and skew.lagging_share == 1
