from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_perf.statistics.change_points import LevelChanges, Series, all_change_points, change_points, optimal_splits
from gaudi_perf.vocabulary.verdict import VerdictKind


def series(levels: list[float], seed: int, apart: float = 0.005) -> list[float]:
    """Sessions on levels, so far apart."""
    return list(np.array(levels) * np.exp(np.random.default_rng(seed).normal(0, apart, len(levels))))


def indices(found: LevelChanges) -> list[int]:
    return [point.index for point in found.points]


def test_a_step_is_found_at_its_session() -> None:
    points = [point for seed in range(20) for point in change_points(series([1.0] * 15 + [1.08] * 10, seed)).points]
    assert [point.index for point in points] == [15] * 20
    assert all(point.kind is VerdictKind.REGRESSED for point in points)
    assert all(point.low < point.ratio < point.high for point in points)
    assert sum(point.low < 1.08 < point.high for point in points) >= 19
    assert abs(np.mean([point.ratio for point in points]) - 1.08) < 0.005


def test_up_and_down_again() -> None:
    points = change_points(series([1.0] * 12 + [1.10] * 12 + [0.95] * 12, 1)).points
    assert [(point.index, point.kind.value) for point in points] == [(12, "REGRESSED"), (24, "IMPROVED")]


def test_no_change_is_found_where_nothing_changed() -> None:
    for apart in (0.003, 0.01, 0.025):
        found = [change_points(series([1.0] * 30, seed, apart), suspects=[10, 20]) for seed in range(200)]
        assert sum(bool(one.points) for one in found) <= 8


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.2, 1.4])
def test_a_single_odd_session_is_no_new_level(factor: float) -> None:
    for seed in range(8):
        levels = series([1.0] * 60, seed, apart=0.01)
        levels[40] *= factor
        found = change_points(levels)
        assert found.points == [] and (40, False) in [(one.index, one.newest) for one in found.odd]
        assert next(one.ratio for one in found.odd if one.index == 40) == pytest.approx(factor, rel=0.04)


def test_the_first_session_may_be_odd_and_of_the_newest_it_is_too_early_to_say() -> None:
    levels = series([1.2, *[1.0] * 20, 1.1], 1)
    found = change_points(levels)
    assert found.points == []
    assert [(one.index, one.newest) for one in found.odd] == [(0, False), (21, True)]
    assert found.odd[-1].ratio == pytest.approx(1.1, abs=0.02)
    following = change_points([*levels, 1.1])  # the next session agrees: a level
    assert indices(following) == [21] and [one.index for one in following.odd] == [0]


def test_an_odd_session_beside_a_step_hides_nothing() -> None:
    found = change_points(series([*[1.0] * 10, 1.5, *[1.08] * 10], 2))
    assert len(found.points) == 1 and found.points[0].index in (10, 11)
    assert found.points[0].ratio == pytest.approx(1.08, abs=0.02)


def test_all_sessions_of_a_segment_speak() -> None:
    """A change of 5 % where sessions lie 2.5 % apart takes more than ten on either side."""
    found = [change_points(series([1.0] * 30 + [1.05] * 30, seed, apart=0.025)) for seed in range(30)]
    assert sum(any(abs(index - 30) <= 5 for index in indices(one)) for one in found) >= 28


def test_a_suspect_needs_no_proposal() -> None:
    """Two sessions on either side are few to choose a split from; where the stack changed it is known beforehand."""
    levels = [series([1.0] * 2 + [1.05] * 2, seed, apart=0.01) for seed in range(40)]
    by_chance = sum(indices(change_points(one)) == [2] for one in levels)
    expected = sum(indices(change_points(one, suspects=[2])) == [2] for one in levels)
    assert expected > by_chance


def test_short_series() -> None:
    assert change_points([]) == change_points([1.0]) == LevelChanges()
    two = change_points([1.0, 1.5])
    assert two.points == [] and [(one.index, one.newest) for one in two.odd] == [(1, True)]
    assert change_points([1.0, 1.01]) == LevelChanges()
    three = change_points([1.0, 1.002, 2.0])
    assert three.points == [] and [(one.index, one.newest) for one in three.odd] == [(2, True)]
    assert change_points([1.0, 1.01, 0.99]) == LevelChanges()


def test_what_is_no_level_or_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        change_points([1.0] * 3, tolerance=0.0)
    with pytest.raises(ValueError, match="finite seconds above 0"):
        change_points([1.0, 0.0, 1.0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 100), max_size=14), st.lists(st.integers(-2, 20), max_size=4))
def test_any_series_gives_places_within_it(levels: list[float], suspects: list[int]) -> None:
    found = change_points(levels, suspects=suspects)
    assert indices(found) == sorted(set(indices(found)))
    assert all(1 < point.index < len(levels) - 1 and point.low <= point.ratio <= point.high for point in found.points)
    assert all(0 <= one.index < len(levels) and one.ratio > 0 for one in found.odd)
    assert [one.index for one in found.odd if one.newest] in ([], [len(levels) - 1])


@st.composite
def many_series(draw: st.DrawFn) -> list[list[float]]:
    """Series of sessions on a few levels, of different lengths."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = []
    for _ in range(draw(st.integers(1, 5))):
        parts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
        steps = [draw(st.sampled_from([0.9, 0.97, 1.0, 1.02, 1.08])) for _ in parts]
        levels = np.repeat(np.cumprod(steps), parts)
        found.append((levels * np.exp(rng.normal(0, draw(st.sampled_from([0.002, 0.01])), levels.size))).tolist())
    return found


def full_search(level: np.ndarray, penalty: float) -> list[int]:
    """The best of all splits into segments of at least two, segment by segment from the definition."""
    best: dict[int, tuple[float, list[int]]] = {0: (-penalty, [])}
    for end in range(2, level.size + 1):
        ways = [
            (cost + penalty + float(np.sum((level[start:end] - level[start:end].mean()) ** 2)), [*splits, start])
            for start, (cost, splits) in best.items()
            if end - start >= 2
        ]
        best[end] = min(ways)
    return best[level.size][1][1:] if level.size > 1 else []


@settings(max_examples=150, deadline=None)
@given(many_series(), st.floats(1e-5, 3e-3))
def test_splits_are_those_of_a_full_search_of_each_series(levels: list[list[float]], penalty: float) -> None:
    series = [np.log(one) for one in levels]
    assert optimal_splits(series, [penalty] * len(series)) == [full_search(one, penalty) for one in series]


@settings(max_examples=60, deadline=None)
@given(many_series())
def test_many_series_at_once_are_judged_as_one_by_one(levels: list[list[float]]) -> None:
    suspects = [range(10, len(one), 10) for one in levels]
    found = all_change_points(map(Series, levels, suspects))
    assert found == [change_points(one, suspects=own) for one, own in zip(levels, suspects, strict=True)]
