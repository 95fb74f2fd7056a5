"""What tests of a session share: the accelerator, and what its end adds to their verdicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import msgspec
import pytest

from gaudi_perf.judging.multiple_testing import Conclusion
from gaudi_perf.pytest_plugin import settings_of
from gaudi_perf.pytest_plugin.fixtures import SESSIONS_KEY, _session, take_accelerator
from gaudi_perf.session.session import PerfSession
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, VerdictKind
from gaudi_perf.vocabulary.waiver import Waiver
from gaudi_perf.workers.controller.passes import Passes, Side
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying

RUN = make_run(device="gaudi2")
CASE = RUN.case
CASE_EAGER = make_run(device="gaudi2", graphs=False).case
INCONCLUSIVE = verdict_saying(VerdictKind.INCONCLUSIVE, "not among so many", baseline="gaudi2/synapse-1.23.0")
REGRESSED = verdict_saying(VerdictKind.REGRESSED, "among all", baseline="gaudi2/synapse-1.23.0", ratio=1.04)


@pytest.fixture
def session(pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PerfSession:
    """A session whose only case is REGRESSED among all, and was not when its test ended."""
    (tmp_path / "baselines").mkdir()
    places = {"baselines_directory": tmp_path / "baselines", "results_directory": tmp_path / "results"}
    session = PerfSession(replace(settings_of(pytestconfig), **places), [CASE])  # type: ignore[arg-type]
    session.runs[CASE] = [RUN]
    session.reports[CASE] = CaseReport(case=CASE, run_ids=[RUN.run_id], verdicts=[INCONCLUSIVE])
    monkeypatch.setattr(session._judging.testing, "conclude", lambda: Conclusion({CASE: REGRESSED}))
    return session


def test_what_regressed_among_all_is_added(session: PerfSession) -> None:
    session.finish()
    assert session.failed
    assert session.notes == [f"REGRESSED among all cases, not when its test ended: {CASE.id}"]
    assert session.reports[CASE].verdicts == [REGRESSED]


def test_a_waiver_holds_for_what_is_added(session: PerfSession) -> None:
    waiver = Waiver(case=CASE.id, device="gaudi2", reason="being mended", until="99", added_on="2026-01-01")
    WaiverStore(session.baselines.directory).add(waiver)
    session.finish()
    assert not session.failed
    assert session.reports[CASE].waived == "being mended (until synapse-99)"


def test_waivers_that_cannot_be_read_waive_nothing(session: PerfSession) -> None:
    (session.baselines.directory / "waivers.json").write_text("{nonsense")
    session.finish()
    assert session.failed
    note, added = session.notes
    assert "waivers.json: not a valid waivers document" in note and CASE.id in added


def test_other_tests_have_the_accelerator_alone(session: PerfSession) -> None:
    measurer, mine = Mock(), Mock()
    session._passes = Passes([Side(measurer)], lambda run: None)
    config = SimpleNamespace(stash=pytest.Stash())
    config.stash[SESSIONS_KEY] = {"measure": session, "complete_dataset": mine}
    take_accelerator(config, mine)  # type: ignore[arg-type]
    measurer.end_group.assert_called_once_with()
    mine.end_groups.assert_not_called()
    at_once = SimpleNamespace(config=SimpleNamespace(workerinput={}))
    with pytest.raises(pytest.fail.Exception, match="without -n"):
        _session(at_once, session.settings, "measure")  # type: ignore[arg-type]


def test_a_disk_that_is_full_in_the_midst_of_passes_fails_all_cases_that_shared_them(
    session: PerfSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stack has a run of each case by then, the second has none: nothing to judge, and no traceback."""
    cases = [CASE_EAGER, CASE]
    measurer = Mock(group_spec=lambda case: "one model", measure=lambda case: msgspec.structs.replace(RUN, case=case))
    kept: list[str] = []

    def keep(run: Run) -> None:
        if len(kept) == len(cases):
            raise UserError("run-1.json: cannot be written (No space left on device)")
        kept.append(run.case.id)

    session.runs.clear()
    session._selected[:] = cases
    session._passes = Passes([Side(measurer, session.runs), Side(measurer)], keep)
    monkeypatch.setattr(session, "why_not", lambda case: "")
    monkeypatch.setattr(session, "_require_measurable", lambda case: None)
    for case in cases:
        with pytest.raises(UserError, match="No space left on device"):
            session.measure(case)
    assert kept == [case.id for case in cases], "what cannot be stored is not measured again and again"
