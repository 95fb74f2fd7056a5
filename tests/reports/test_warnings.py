"""When there is a warning; ``tests/golden/wording.txt`` has the sentences."""

from __future__ import annotations

import pytest

from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.page.facts import rank_facts
from gaudi_perf.reports.terminal import summary, verdict_message
from gaudi_perf.reports.warnings import lagging, telemetry_warnings
from gaudi_perf.vocabulary.telemetry import DeviceSample, Telemetry
from gaudi_perf.vocabulary.verdict import CaseReport, Session, VerdictKind
from tests.reports.factories import ALIKE, run_of, slowed
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying

STEADY = [DeviceSample(device=0, clock_mhz=clock) for clock in (1650, 1640, 1650)]
THROTTLED = [
    DeviceSample(device=0, clock_mhz=1650),
    DeviceSample(device=0, clock_mhz=800, throttle_reasons=["power"]),
]
"""It makes the rounds INVALID, and is reported as that."""
VARYING = [DeviceSample(device=3, clock_mhz=1650), DeviceSample(device=3, clock_mhz=1200)]
HOT_BEFORE = [DeviceSample(device=0, moment="before", throttle_reasons=["thermal"])]


@pytest.mark.parametrize(("samples", "count"), [(STEADY, 0), (THROTTLED, 0), (VARYING, 1), (HOT_BEFORE, 1)])
def test_what_the_devices_are_warned_of(samples: list[DeviceSample], count: int) -> None:
    assert len(telemetry_warnings(Telemetry(source="made up", samples=samples))) == count


def test_without_telemetry_there_is_no_warning() -> None:
    assert telemetry_warnings(None) == []


def test_a_rank_that_all_wait_for_is_told_by_its_passes() -> None:
    slow = run_of([ALIKE, slowed(0.30)])
    assert lagging([slow]).startswith("rank 1 lags") and lagging([slow, slow, run_of([ALIKE, ALIKE])])
    assert lagging([slow, run_of([ALIKE, ALIKE])]) == "", "not in most of the runs"
    assert lagging([slow, run_of([slowed(0.30), ALIKE])]) == ""
    assert lagging([run_of([ALIKE, ALIKE])]) == lagging([make_run()]) == ""


def test_a_rank_that_ends_its_rounds_late_is_told_by_them() -> None:
    late = run_of([], [[1.2] * 4, [1.0] * 4])
    assert lagging([late]).startswith("rank 0 lags")
    assert lagging([run_of([], [[1.02] * 4, [1.0] * 4])]) == "", "a rank is always last"
    assert lagging([run_of([], [[1.2, 1.2, 1.0, 1.0], [1.0, 1.0, 1.2, 1.2]])]) == "", "they take turns"


def test_every_report_names_it() -> None:
    run = run_of([ALIKE, slowed(0.30)])
    verdict = verdict_saying(VerdictKind.REGRESSED, "slower", ratio=1.3, low=1.2, high=1.4, baseline="gaudi2/old")
    report = CaseReport(case=run.case, run_ids=[run.run_id], verdicts=[verdict])
    session = Session(session_id="s", cases=[report], started_at=run.started_at, ended_at=run.started_at)
    runs = {run.case.id: [run]}
    sentence = lagging([run])
    assert sentence in verdict_message(run.case, [run], [verdict])
    assert f"{run.case.id}: {sentence}" in " ".join(summary(session, runs, width=80, color=False).split())
    assert sentence in session_markdown(session, runs)
    assert ("slow rank", sentence) in rank_facts([run])
    assert rank_facts([make_run()]) == []
