from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.reports.figures import figures
from tests.stores.factories import make_run

LATENCIES = st.lists(st.floats(min_value=1e-3, max_value=1e3), min_size=1, max_size=12)


def test_the_latency_is_the_median_of_the_runs_medians() -> None:
    runs = [make_run([1.0, 1.0, 9.0]), make_run([2.0]), make_run([5.0, 5.0, 5.0, 5.0])]
    found = figures(runs)
    assert found.latency_s == 2.0 and found.tokens_per_s == 50.0
    assert found.runs == 3 and found.rounds == 8 and found.steady
    assert found.first_token_s == 0.1 and found.per_output_token_s == 0.01
    assert found.peak_memory_bytes == 10**9


@pytest.mark.parametrize("rounds", [1, 3])
def test_few_rounds_have_no_spread(rounds: int) -> None:
    assert figures([make_run([1.0] * rounds)]).spread is None


def test_the_spread_is_the_middle_half_in_shares() -> None:
    assert figures([make_run([1.0, 1.0, 1.0, 1.0])]).spread == 0
    found = figures([make_run([9.0, 10.0, 11.0, 10.0, 9.0, 11.0, 10.0])])
    assert found.spread == pytest.approx(0.2)


def test_one_run_that_never_got_steady_is_told() -> None:
    assert not figures([make_run(1.0), make_run(1.0, steady=False)]).steady


@given(st.lists(LATENCIES, min_size=1, max_size=4))
def test_figures_lie_among_what_was_measured(levels: list[list[float]]) -> None:
    found = figures([make_run(latencies) for latencies in levels])
    medians = [statistics.median(latencies) for latencies in levels]
    assert min(medians) <= found.latency_s <= max(medians)
    assert found.tokens_per_s == pytest.approx(100 / found.latency_s)
    assert found.spread is None or found.spread >= 0
