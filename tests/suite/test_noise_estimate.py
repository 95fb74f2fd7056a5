"""The suite estimates the noise from its own results."""

from __future__ import annotations

import msgspec

from gaudi_perf.reports.wording import reason
from gaudi_perf.stores.results import ResultsStore, read_runs
from tests.suite.conftest import Scripted, Suite

CASE = ["-k", "bloomz7b-1x-eager-kvcache", "--benchmark-disable"]
QUICK = ["--rounds", "5", "--time-budget", "5", "--new-tokens", "4", "--runs", "2"]


def test_noise_is_estimated_from_ten_sessions_of_results(suite: Suite, scripted: Scripted) -> None:
    first = suite(*CASE, *QUICK, "--refresh-baselines", injected=scripted())
    assert first.status == 0, first.output
    assert "variation: " not in first.output
    following = ResultsStore(suite.place / "results-2")  # where the next invocation keeps its runs
    for day in range(1, 13):
        for run in read_runs(first.results).runs:
            session = f"202601{day:02d}T120000.000000Z-{day:08x}"
            latencies = [latency * (1 + 0.02 * (day % 3)) for latency in run.measurement.latencies_s]
            following.write_run(
                msgspec.structs.replace(
                    run,
                    session_id=session,
                    run_id=f"{session}-{run.run_id[-8:]}",
                    started_at=f"2026-01-{day:02d}T12:00:00Z",
                    measurement=msgspec.structs.replace(run.measurement, latencies_s=latencies),
                )
            )
    outcome = suite(*CASE, *QUICK, "--perf-markdown", str(suite.place / "short.md"), injected=scripted())
    reported = "estimated from 12 sessions"
    assert reported in " ".join(outcome.output.split()), outcome.output
    assert reported in (suite.place / "short.md").read_text()
    (report,) = outcome.session.cases
    learned = report.verdicts[0].learned_noise
    assert learned is not None and (learned.runs, learned.sessions) == (24, 12)
    assert learned.session > 0.01 and "estimated from 24 runs of 12 sessions" in reason(report.verdicts[0])
