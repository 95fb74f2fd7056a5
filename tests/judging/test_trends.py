from __future__ import annotations

import pytest

from gaudi_perf.judging.trends import TrendChanges, changes_of, trends
from gaudi_perf.vocabulary.run import Run
from tests.stores.factories import make_runs


def session(day: int, level: float, version: str, **fields: object) -> list[Run]:
    name = f"2026{1 + day // 28:02d}{1 + day % 28:02d}"
    at = f"{name[:4]}-{name[4:6]}-{name[6:]}T00:00:00Z"
    return make_runs(level, session=f"{name}-{version}", started_at=at, version=version, **fields)


def test_since_when_and_what_changed_in_the_stack() -> None:
    runs: list[Run] = []
    for day in range(14):
        driver = "1.22.0" if day < 7 else "1.22.1"
        runs += session(day, 1.0 if day < 7 else 1.12, "1.22.0", components={"driver": driver})
    (trend,) = trends(runs).values()
    (change,) = changes_of(trend).changes
    assert change.since.started_at[:10] == "2026-01-08" and change.before.started_at[:10] == "2026-01-07"
    assert change.stack_changes == ("driver 1.22.0 -> 1.22.1",)
    assert abs(change.point.ratio - 1.12) < 0.01


def test_two_releases_every_session_are_two_levels_and_not_a_change_every_session() -> None:
    runs: list[Run] = []
    for day in range(8):
        runs += [*session(day, 1.0, "1.9.0"), *session(day, 1.1, "1.10.0")]
    (trend,) = trends(runs).values()
    assert [item.stack.version for item in trend.sessions] == ["1.9.0"] * 8 + ["1.10.0"] * 8
    (change,) = changes_of(trend).changes
    assert change.point.index == 8 and change.since.stack.version == "1.10.0"
    assert change.stack_changes == ("synapse 1.9.0 -> 1.10.0", "driver 1.9.0 -> 1.10.0")


def test_what_may_not_be_compared_is_a_trend_of_its_own() -> None:
    runs = [
        *session(1, 1.0, "1.22.0"),
        *session(1, 1.0, "1.22.0", devices=8),
        *session(1, 1.0, "1.22.0", device="gaudi3"),
        *session(1, 1.0, "1.22.0", cpu="Xeon 6"),
        *session(1, 1.0, "1.22.0", new_tokens=10),
        *session(2, 1.0, "1.22.0", steady=False),
        *session(2, 1.0, "1.22.0", problems=["throttled"]),
    ]
    found = trends(runs).values()
    assert len(found) == 5
    assert all(len(trend.sessions) == 1 and changes_of(trend) == TrendChanges() for trend in found)


def test_an_odd_session_is_no_change_and_of_the_newest_it_is_too_early_to_say() -> None:
    levels = [1.0] * 6 + [1.3] + [1.0] * 6 + [1.12]
    runs = [run for day, level in enumerate(levels) for run in session(day, level, "1.22.0")]
    (trend,) = trends(runs).values()
    found = changes_of(trend)
    assert found.changes == []
    assert [(one.session.started_at[:10], one.newest) for one in found.odd] == [
        ("2026-01-07", False),
        ("2026-01-14", True),
    ]
    assert found.odd[0].ratio == pytest.approx(1.3, abs=0.01)
