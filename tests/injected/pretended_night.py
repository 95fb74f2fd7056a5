"""Stands in for a night's measuring: writes the runs and the session that the suite would, judged as it judges.

``python -m tests.injected.pretended_night`` takes results directory, baselines directory, and a night as JSON: the
``number`` of the night, its ``release``, a ``level`` in seconds per number of devices, and whether it is ``killed``.
With the names of two stacks, candidate and baseline, these are measured side by side; the baseline's levels are
``before``, or equal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from msgspec.structs import replace

from gaudi_perf.judging import CaseJudge, NoiseHistory, Rules, evidence_against_baselines
from gaudi_perf.judging.evidence import evidence_side_by_side
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.judging.outcome import fails, why_passes
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session
from tests.stores.factories import make_runs


def main(results: str, baselines: str, text: str, candidate: str = "", baseline: str = "") -> int:
    night = json.loads(text)
    day = f"2026-12-{night['number']:02}"
    session = f"{day.replace('-', '')}T02{'30' if baseline else '00'}00.000000Z-{night['number']:08x}"
    results_store, store = ResultsStore(results), BaselineStore(baselines)
    history = NoiseHistory.of(Path(results), store)
    testing, reports = MultipleTesting(len(night["level"])), []

    def measured(level: float, devices: str, stack: str) -> list[Run]:
        version = stack.partition("-")[2] or night["release"]
        runs = make_runs(level, devices=int(devices), session=session, started_at=f"{day}T02:00:00Z", version=version)
        runs = [
            replace(run, run_id=f"{session}-{devices}-{version}-{number}", stack_label=stack)
            for number, run in enumerate(runs)
        ]
        for run in runs:
            results_store.write_run(run)
        return runs

    for devices, level in night["level"].items():
        runs = measured(level, devices, candidate)
        if night.get("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        others = measured(night.get("before", {}).get(devices, level), devices, baseline) if baseline else []
        evidence = (
            evidence_side_by_side(runs, others) if others else evidence_against_baselines(runs, store, "", history)
        )
        judgement = CaseJudge(testing.rules(Rules())).judge(evidence)
        testing.add(runs[0].case, judgement)
        reports.append(
            CaseReport(
                case=runs[0].case,
                run_ids=[run.run_id for run in runs],
                baseline_run_ids=[run.run_id for run in others],
                verdicts=list(judgement.verdicts),
                waived=why_passes(WaiverStore(baselines), store, runs[-1], judgement.verdicts),
            )
        )
    at_end = {"started_at": f"{day}T02:00:00Z", "ended_at": f"{day}T03:00:00Z"}
    stacks = {"candidate_stack": candidate, "baseline_stack": baseline}
    results_store.write_session(Session(session_id=session, cases=reports, **at_end, **stacks))
    return int(any(fails(report.verdicts, report.waived) for report in reports))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
