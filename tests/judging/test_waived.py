"""What regressed and passes: by a waiver, or because its level was accepted with a reason."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from gaudi_perf.judging.outcome import why_passes
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind
from tests.judging.factories import judge_runs
from tests.stores.factories import make_runs
from tests.vocabulary.factories import verdict_saying

REASON = "accepted on 2026-02-01: the price of a check"


@pytest.fixture
def baselines(tmp_path: Path) -> BaselineStore:
    """1.23.0 is 15 % slower than 1.22.0, which somebody accepted."""
    store = BaselineStore(tmp_path)
    now = datetime(2026, 2, 1, tzinfo=timezone.utc)
    apply(plan_refresh(store, Refresh(make_runs(1.0, version="1.22.0"), now=now)))
    slower = make_runs(1.15, version="1.23.0")
    assert apply(plan_refresh(store, Refresh(slower, accept_regression="the price of a check", now=now))).refused == ()
    return store


def why(baselines: BaselineStore, runs: list[Run], verdicts: list[Verdict] | None = None) -> str:
    found = judge_runs(runs, baselines, "") if verdicts is None else verdicts
    assert VerdictKind.REGRESSED in {verdict.kind for verdict in found}
    return why_passes(WaiverStore(baselines.directory), baselines, runs[-1], found)


def test_an_accepted_level_passes_from_then_on(baselines: BaselineStore) -> None:
    same = make_runs(1.15, version="1.23.0")
    assert {verdict.role: verdict.kind for verdict in judge_runs(same, baselines, "")} == {
        "release": VerdictKind.REGRESSED,
        "drift": VerdictKind.UNCHANGED,
    }
    assert why(baselines, same) == REASON


@pytest.mark.parametrize(
    ("version", "ratio", "reason"), [("1.22.0", 1.15, REASON), ("1.22.0", 1.4, ""), ("1.23.0", 1.15, "")]
)
def test_an_accepted_level_passes_side_by_side_too(
    baselines: BaselineStore, version: str, ratio: float, reason: str
) -> None:
    """Where both stacks are of one version, something else is slower than what was accepted."""
    verdict = next(one for one in judge_runs(make_runs(1.15, version="1.23.0"), baselines, "") if one.role == "release")
    assert verdict.baseline_stack is not None
    beside = replace(
        verdict, role="side by side", ratio=ratio, baseline_stack=replace(verdict.baseline_stack, version=version)
    )
    assert why(baselines, make_runs(ratio, version="1.23.0"), [beside]) == reason


def test_what_is_slower_than_accepted_fails(baselines: BaselineStore) -> None:
    assert why(baselines, make_runs(1.4, version="1.23.0")) == ""


@pytest.mark.parametrize(("ratio", "reason"), [(1.17, REASON), (1.25, "")])
def test_where_few_runs_cannot_tell_the_accepted_ratio_counts(
    baselines: BaselineStore, ratio: float, reason: str
) -> None:
    runs = make_runs(ratio, version="1.23.0")
    told = [
        verdict if verdict.role == "release" else verdict_saying(VerdictKind.INCONCLUSIVE, "few", role="drift")
        for verdict in judge_runs(runs, baselines, "")
    ]
    assert why(baselines, runs, told) == reason


def test_another_version_was_not_accepted(baselines: BaselineStore) -> None:
    assert why(baselines, make_runs(1.3, version="1.24.0")) == ""


def test_invalid_never_passes(baselines: BaselineStore) -> None:
    runs = make_runs(1.15, version="1.23.0")
    invalid = verdict_saying(VerdictKind.INVALID, "throttled")
    assert why(baselines, runs, [invalid, *judge_runs(runs, baselines, "")]) == ""
