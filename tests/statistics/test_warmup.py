from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.statistics.warmup import steady_start


def rounds_until_steady(latencies: np.ndarray) -> int:
    """How many rounds it takes; one more than there are if they never become steady."""
    for count in range(1, latencies.size + 1):
        if steady_start(latencies[:count].tolist()).start is not None:
            return count
    return int(latencies.size) + 1


def taken(shape: np.ndarray, noise: float, repeats: int = 40) -> np.ndarray:
    rng = np.random.default_rng(60)
    return np.array([rounds_until_steady(shape * np.exp(rng.normal(0, noise, shape.size))) for _ in range(repeats)])


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1, 0.3])
def test_a_slow_first_round_then_noise_is_steady_within_eight_rounds_or_so(noise: float) -> None:
    counts = taken(np.concatenate([[5.0], np.ones(29)]), noise)
    assert np.median(counts) <= 8
    assert np.quantile(counts, 0.9) <= 12


def test_the_slow_first_round_is_not_among_the_steady_ones() -> None:
    state = steady_start([5.0, *[1.0] * 8])
    assert state.start is not None and state.start >= 1


@pytest.mark.parametrize(("drift", "noise"), [(0.01, 0.002), (0.03, 0.01), (0.1, 0.01), (0.1, 0.05)])
def test_a_drift_is_not_steady_until_it_ends(drift: float, noise: float) -> None:
    shape = np.exp(np.maximum(15 - np.arange(40), 0) * drift)
    counts = taken(shape, noise)
    assert np.mean(counts >= 14) >= 0.9
    assert np.median(counts) <= 26


def test_a_decay_under_heavy_noise_is_waited_for_until_it_is_no_more_than_the_noise() -> None:
    shape = np.exp(np.exp(-np.arange(40) / 5))
    counts = taken(shape, 0.3, repeats=100)
    assert np.mean(np.exp(-(counts - 1) / 5)) < 0.3


def test_too_few_rounds_are_never_steady() -> None:
    for count in range(5):
        state = steady_start([1.0] * count)
        assert state.start is None and f"only {count} rounds" in state.reason


@given(st.lists(st.floats(1e-6, 1e3), min_size=0, max_size=30))
def test_any_durations_give_an_answer_in_range(latencies: list[float]) -> None:
    state = steady_start(latencies)
    assert state.reason
    assert state.start is None or 0 <= state.start <= len(latencies) - 5


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_duration_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="latencies must be finite seconds above 0"):
        steady_start([1.0, value])
