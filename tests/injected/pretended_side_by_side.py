"""Stands in for pytest in a search: writes a session side by side, as ``RATIOS`` (JSON, by stack) has them.

A ratio of 0 is no clear verdict, -1 ends without a session.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from gaudi_perf.stores.results import ResultsStore, new_session_id
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Reason, Session, Verdict, VerdictKind
from tests.stores.factories import make_run

options = dict(zip(sys.argv, sys.argv[1:], strict=False))
name, good = options["--candidate-stack"], options["--baseline-stack"]
assert sys.argv[1] == "perf_tests" and options["--runs"] == "auto" and options["-k"] == "bloomz7b-1x-graphs-kvcache"
ratio = json.loads(os.environ["RATIOS"])[Path("installed").read_text() if name == "trial" else name]
if ratio == -1:
    sys.exit(1)
time.sleep(0.002)  # a name of its own
session = new_session_id()
version = f"1.{18 + int(name[-1])}.0" if name[-1].isdigit() else "1.22.0"
run = make_run(ratio or 1.0, session=session, version=version, run_id=f"{session}-1")
slower = ratio >= 1.05
verdict = Verdict(
    kind=VerdictKind.REGRESSED if slower else VerdictKind.UNCHANGED if ratio else VerdictKind.INCONCLUSIVE,
    reason=Reason.SLOWER if slower else Reason.WITHIN_TOLERANCE if ratio else Reason.TOO_IMPRECISE,
    role="side by side",
    baseline=good,
    baseline_stack=Stack(kind="synapse", version="1.18.0", components={"driver": "1.18.0"}),
    ratio=ratio or 1.04,
    low=(ratio or 1.04) - 0.01,
    high=(ratio or 1.04) + 0.01,
    tolerance=0.05,
    smallest_visible_slowdown=0.02,
    p_slower=0.0001,
)
store, at = ResultsStore(os.environ["GAUDI_PERF_RESULTS_DIR"]), "2026-12-01T02:00:00Z"
store.write_run(run)
report = CaseReport(case=run.case, run_ids=[run.run_id], verdicts=[verdict])
store.write_session(Session(session_id=session, started_at=at, ended_at=at, cases=[report], candidate_stack=name))
sys.exit(int(slower))
