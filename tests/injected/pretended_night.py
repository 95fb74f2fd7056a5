"""Stands in for a night's measuring: writes the runs and the session that the suite would, judged as it judges.

``python -m tests.injected.pretended_night`` takes results directory, baselines directory, and a night as JSON: the
``number`` of the night, its ``release``, a ``level`` in seconds per number of devices, and whether it is ``killed``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from gaudi_perf.judging import CaseJudge, NoiseHistory, Rules, evidence_against_baselines
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.judging.outcome import fails, why_passes
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.verdict import CaseReport, Session
from tests.stores.factories import make_runs


def main(results: str, baselines: str, text: str) -> int:
    night = json.loads(text)
    day = f"2026-12-{night['number']:02}"
    session = f"{day.replace('-', '')}T020000.000000Z-{night['number']:08x}"
    results_store, store = ResultsStore(results), BaselineStore(baselines)
    history = NoiseHistory.of(Path(results), store)
    testing, reports = MultipleTesting(len(night["level"])), []
    for devices, level in night["level"].items():
        at = {"session": session, "started_at": f"{day}T02:00:00Z", "version": night["release"]}
        runs = make_runs(level, devices=int(devices), run_id=None, **at)  # type: ignore[arg-type]
        for number, run in enumerate(runs):
            results_store.write_run(type(run)(**{**_fields(run), "run_id": f"{session}-{devices}-{number}"}))
        if night.get("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        judgement = CaseJudge(testing.rules(Rules())).judge(evidence_against_baselines(runs, store, "", history))
        testing.add(runs[0].case, judgement)
        reports.append(
            CaseReport(
                case=runs[0].case,
                run_ids=[f"{session}-{devices}-{number}" for number in range(len(runs))],
                verdicts=list(judgement.verdicts),
                waived=why_passes(WaiverStore(baselines), store, runs[-1], judgement.verdicts),
            )
        )
    at_end = {"started_at": f"{day}T02:00:00Z", "ended_at": f"{day}T03:00:00Z"}
    results_store.write_session(Session(session_id=session, cases=reports, **at_end))
    return int(any(fails(report.verdicts, report.waived) for report in reports))


def _fields(run: object) -> dict[str, object]:
    return {name: getattr(run, name) for name in run.__struct_fields__}  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
