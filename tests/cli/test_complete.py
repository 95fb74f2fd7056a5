"""What the verdict of a dataset's throughput means, and what is refused before anything is completed."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.session.session import PerfSession
from gaudi_perf.session.settings import Settings
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.waiver import Waiver
from tests.cli.conftest import Invoke
from tests.stores.factories import make_run, make_runs


def judged(run: Run, place: Path) -> tuple[PerfSession, bool]:
    """A session that has measured this run, and whether its case fails."""
    settings = Settings(
        accelerator=accelerator_named("cpu"),
        scale="standin",
        baselines_directory=place,
        results_directory=place / "results",
    )
    session = PerfSession(settings, [run.case])
    session.runs[run.case] = [replace(run, session_id=session.session_id)]
    report = session.judge(run.case)
    session.finish()
    return session, session.fails(report)


def test_a_regression_fails_unless_it_is_waived(tmp_path: Path) -> None:
    apply(plan_refresh(BaselineStore(tmp_path), Refresh(make_runs(1.0))))
    slow = make_run([1.6, 1.61, 1.59, 1.6, 1.6])
    session, fails = judged(slow, tmp_path)
    assert fails and session.reports[slow.case].verdicts[0].kind.value == "REGRESSED"
    WaiverStore(tmp_path).add(
        Waiver(case=slow.case.id, device="gaudi2", reason="being mended", until="99", added_on="2026-01-01")
    )
    session, fails = judged(slow, tmp_path)
    assert not fails and session.reports[slow.case].waived == "being mended (until synapse-99)"


def test_a_baseline_that_is_nowhere_is_told_before_anything_is_completed(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("complete", "prompts.csv", "--output", tmp_path / "o.jsonl", "--against", "1.99")
    assert done.exit_code == 2 and "--against 1.99: there is no such baseline in baselines" in done.output
    assert list(tmp_path.iterdir()) == []
