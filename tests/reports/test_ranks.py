from __future__ import annotations

from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.ranks import lagging, rank_facts
from gaudi_perf.reports.terminal import summary, verdict_message
from gaudi_perf.vocabulary.verdict import CaseReport, Session, VerdictKind
from tests.reports.factories import ALIKE, run_of, slowed
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying


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
