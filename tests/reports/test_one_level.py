"""A level is one number, wherever it is shown: the page's heat map and trend, ``history``, data frames."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from gaudi_perf.cli import main
from gaudi_perf.judging.trends import Trend, TrendChanges, changes_of, trends
from gaudi_perf.reports.page import session_page
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Reason, Session, Verdict, VerdictKind
from tests.reports.demonstration import Demonstration
from tests.stores.factories import make_run


def shown(directory: Path, runs: Sequence[Run], *, newest: Sequence[Run], tolerance: float = 0.05) -> dict[str, object]:
    """The case of the page of the session of the newest runs, with all runs stored."""
    store = ResultsStore(directory)
    for run in runs:
        store.write_run(run)
    verdict = Verdict(
        kind=VerdictKind.NO_BASELINE, reason=Reason.NO_BASELINE, text="nothing is stored", tolerance=tolerance
    )
    session = Session(
        session_id=newest[0].session_id,
        started_at=newest[0].started_at,
        ended_at=newest[0].started_at,
        cases=[CaseReport(case=newest[0].case, run_ids=[run.run_id for run in newest], verdicts=[verdict])],
    )
    page = session_page(session, {newest[0].case.id: list(newest)}, store, directory / "none").decode()
    data = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert data is not None
    (case,) = json.loads(data.group(1))["cases"]
    return case  # type: ignore[no-any-return]


def sessions(*levels: float, **fields: object) -> list[Run]:
    return [
        make_run(level, session=f"session-{day}", started_at=f"2026-01-{10 + day}T12:00:00Z", **fields)  # type: ignore[arg-type]
        for day, level in enumerate(levels)
    ]


@pytest.mark.parametrize(("levels", "level"), [((1.0, 1.0, 2.0), 1.0), ((1.0, 2.0), 1.5)])
def test_the_heat_map_s_level_is_the_median_of_sessions_each_counted_once(
    tmp_path: Path, levels: tuple[float, ...], level: float
) -> None:
    runs = sessions(*levels)
    case = shown(tmp_path, runs, newest=runs[-1:])
    assert case["levels"] == [[0, level]]
    assert case["trend"]["level"] == list(levels)  # type: ignore[index]


def test_a_throttled_session_is_no_level(tmp_path: Path) -> None:
    runs = [
        make_run(1.0, session="session-0"),
        make_run(9.0, session="session-1", started_at="2026-02-01T12:00:00Z", problems=["throttled"]),
    ]
    case = shown(tmp_path, runs, newest=runs[-1:])
    assert case["levels"] == [[0, 1.0]] and case["trend"]["level"] == [1.0]  # type: ignore[index]


def test_one_invalid_run_leaves_the_others_of_its_session(tmp_path: Path) -> None:
    runs = [make_run(1.0), make_run(1.2), make_run(9.0, problems=["throttled"]), make_run(9.0, steady=False)]
    case = shown(tmp_path, runs, newest=runs)
    assert case["trend"]["level"] == [1.1] == [one.level_s for one in only(tmp_path).sessions]  # type: ignore[index]


def test_two_stacks_side_by_side_are_two_trends_and_no_change(tmp_path: Path) -> None:
    from msgspec.structs import replace

    runs = [
        replace(make_run(level), stack_label=label) for label, level in (("old", 1.0), ("new", 2.0)) for _ in range(2)
    ]
    case = shown(tmp_path, runs, newest=runs[2:])
    assert case["trend"]["level"] == [2.0]  # type: ignore[index]
    found = trends(read_history(tmp_path).runs)
    assert [(key.stack_label, [one.level_s for one in trend.sessions]) for key, trend in found.items()] == [
        ("new", [2.0]),
        ("old", [1.0]),
    ]
    assert all(changes_of(trend) == TrendChanges() for trend in found.values())
    told = CliRunner().invoke(main, ["history", "--results-dir", str(tmp_path)])
    assert told.exit_code == 0 and "since" not in told.output, told.output
    assert "synapse-1.22.0 (old)" in told.output


def test_workloads_are_cases_of_their_own(tmp_path: Path) -> None:
    short, long = make_run(1.0, new_tokens=4), make_run(3.0, new_tokens=16)
    shown(tmp_path, [short, long], newest=[long])
    told = CliRunner().invoke(main, ["history", "--results-dir", str(tmp_path)]).output
    assert "bloomz7b-1x-graphs-kvcache-n4 " in told and "bloomz7b-1x-graphs-kvcache-n16 " in told


def test_the_page_finds_changes_with_the_tolerance_of_its_session(tmp_path: Path) -> None:
    levels = [1.0 + 0.001 * (day % 3) for day in range(10)] + [1.04 + 0.001 * (day % 3) for day in range(10)]
    runs = sessions(*levels)
    for tolerance, found in ((0.05, 1), (0.20, 0)):
        case = shown(tmp_path / str(tolerance), runs, newest=runs[-1:], tolerance=tolerance)
        assert len(case["trend"].get("changes", [])) == found  # type: ignore[attr-defined]


def test_the_heat_map_of_the_demonstration_does_not_contradict_its_verdicts(tmp_path: Path) -> None:
    """The page's script shows the comparison's estimate where a stack was held against another."""
    made = Demonstration(tmp_path, cases=8, sessions=12, runs=5)
    session = made.write()
    read = {run.run_id: run for run in made.results.read_session(session.session_id).runs}
    runs = {report.case.id: [read[run_id] for run_id in report.run_ids] for report in session.cases}
    page = session_page(session, runs, made.results, made.baselines.directory).decode()
    data = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert data is not None
    document = json.loads(data.group(1))
    for case in document["cases"]:
        for comparison in case.get("comparisons", []):
            if comparison.get("ratio") is not None and "metric" not in comparison:
                assert comparison["stack"] in [place for place, _ in case["levels"]]
                assert case["stack"] in [place for place, _ in case["levels"]]


def only(directory: Path) -> Trend:
    (trend,) = trends(read_history(directory).runs).values()
    return trend
