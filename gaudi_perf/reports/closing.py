"""The last lines of a summary: the commands to look closer, and to make a new level the baseline."""

from __future__ import annotations

import shlex

from gaudi_perf.vocabulary.metrics import RUNS_FOR_BASELINES
from gaudi_perf.vocabulary.verdict import Session, VerdictKind


def next_commands(session: Session, results: str, baselines: str) -> list[str]:
    """The exact commands for what comes next, one a line; directories are named as the reader would write them."""
    kinds = {report.verdicts[0].kind for report in session.cases if report.verdicts}
    if not kinds:
        return []
    where = [] if results == "results" else ["--results-dir", results]
    lines = [
        f"look closer: {shlex.join(['gaudi-perf', 'report', session.session_id, *where, '--html', 'report.html'])}"
    ]
    refused = {VerdictKind.REGRESSED}  # a refresh stores everything else by itself
    if kinds & (refused if session.refreshed else {VerdictKind.NO_BASELINE, VerdictKind.IMPROVED, *refused}):
        words = ["gaudi-perf", "baselines", "refresh", f"{results.rstrip('/')}/{session.session_id}"]
        if baselines != "baselines":
            words += ["--baselines-dir", baselines]
        fewest = min((len(one.run_ids) for one in session.cases if one.run_ids), default=RUNS_FOR_BASELINES)
        if fewest < RUNS_FOR_BASELINES:  # a refresh asks for more, and these are what there is
            words += ["--minimum-runs", str(fewest)]
        if VerdictKind.REGRESSED in kinds:
            words += ["--accept-regression", "REASON"]
        lines.append(f"new level:   {shlex.join(words)}")
    return lines
