from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_perf.statistics.change_points import ChangePoint, change_points
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.verdict import VerdictKind


def series(levels: list[float], seed: int, runs: int = 5) -> list[list[RunSample]]:
    """Nights on levels: 0.5 % from session to session, 0.3 % from run to run and from round to round."""
    rng = np.random.default_rng(seed)
    return [
        [RunSample(rounds=level * np.exp(luck + rng.normal(0, 0.003) + rng.normal(0, 0.003, 15))) for _ in range(runs)]
        for level, luck in zip(levels, rng.normal(0, 0.005, len(levels)), strict=True)
    ]


def found(sessions: list[list[RunSample]], **options: object) -> list[ChangePoint]:
    levels = [float(np.median([np.median(run.rounds) for run in session])) for session in sessions]
    return change_points(levels, sessions.__getitem__, **options)  # type: ignore[arg-type]


def test_a_step_is_found_at_its_session() -> None:
    points = [point for seed in range(20) for point in found(series([1.0] * 15 + [1.08] * 10, seed))]
    assert [point.index for point in points] == [15] * 20
    assert all(point.kind is VerdictKind.REGRESSED for point in points)
    assert all(point.low < point.ratio < point.high for point in points)
    assert sum(point.low < 1.08 < point.high for point in points) >= 19
    assert abs(np.mean([point.ratio for point in points]) - 1.08) < 0.005


def test_up_and_down_again() -> None:
    points = found(series([1.0] * 12 + [1.10] * 12 + [0.95] * 12, 1))
    assert [(point.index, point.kind.value) for point in points] == [(12, "REGRESSED"), (24, "IMPROVED")]


def test_no_change_is_found_where_nothing_changed() -> None:
    assert sum(len(found(series([1.0] * 30, seed), suspects=[10, 20])) for seed in range(100)) <= 2


def test_a_single_odd_session_among_many_is_no_new_level() -> None:
    """Its neighbours take it back: at most the session itself is told, and never a level that lasts."""
    for seed in range(10):
        points = found(series([1.0] * 12 + [1.03] + [1.0] * 12, seed))
        assert [point.index for point in points] in ([], [12, 13])


def test_a_suspect_needs_no_proposal() -> None:
    """Two sessions each side, where ruptures has little to go by: the comparison at the change of the stack decides."""
    sessions = series([1.0] * 4 + [1.2] * 4, 3)
    assert [point.index for point in found(sessions, suspects=[4])] == [4]


def test_short_series() -> None:
    assert found([]) == []
    assert found(series([1.0], 1)) == []
    assert [point.index for point in found(series([1.0, 1.5], 1))] in ([], [1])
    with pytest.raises(ValueError, match="tolerance"):
        found(series([1.0] * 3 + [1.5] * 3, 1), tolerance=0.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=12),
    st.integers(1, 3),
    st.lists(st.integers(-2, 20), max_size=4),
)
def test_any_series_gives_places_within_it(levels: list[float], runs: int, suspects: list[int]) -> None:
    sessions = [[RunSample(rounds=np.array([level, level * 1.001]))] * runs for level in levels]
    points = found(sessions, suspects=suspects)
    assert [point.index for point in points] == sorted({point.index for point in points})
    assert all(0 < point.index < len(levels) for point in points)


def test_only_sessions_near_a_split_are_asked_for() -> None:
    sessions = series([1.0] * 100 + [1.1] * 100, 5)
    asked: set[int] = set()

    def runs_of(index: int) -> list[RunSample]:
        asked.add(index)
        return sessions[index]

    levels = [float(np.median([np.median(run.rounds) for run in session])) for session in sessions]
    assert [point.index for point in change_points(levels, runs_of)] == [100]
    assert len(asked) < 100
