"""Faults of workers: each fails its case with the phase, within its deadline, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.suite.conftest import ROOT, Scripted, Suite, workers_of

ONE = ["-k", "bloomz7b-1x-eager-kvcache", "--new-tokens", "4"]
# Only of the phase that is frozen: on a busy machine the others may take longer.
SOON = {"load": ["--load-deadline", "3"], "warm-up": ["--round-deadline", "3"], "rounds": ["--round-deadline", "3"]}
LONG = ["--rounds", "400", "--time-budget", "60"]
# A process that was started in the background (or by nohup) ignores SIGINT (or SIGHUP), and so does what it starts.
INTERRUPTIBLE = (
    "import os, signal, sys; [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)]; "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
PHASES = {
    "load": {"phase": "load"},
    "warm-up": {"phase": "generate", "after": 0},
    "rounds": {"phase": "generate", "after": 60},
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_worker_is_reported_with_its_phase(suite: Suite, scripted: Scripted, phase: str) -> None:
    outcome = suite(*ONE, *LONG, injected=scripted(fault={"kind": "kill", **PHASES[phase]}))
    assert outcome.status == 1
    assert f"failed in {phase}" in outcome.output
    assert "was killed by SIGKILL" in outcome.output
    assert "injected: kill" in outcome.output, "the last lines of the worker's log"
    (log,) = outcome.results.glob("*/bloomz7b-1x-eager-kvcache-n4.log")
    assert "injected: kill" in log.read_text(), "the whole log is kept beside the results"
    assert log.name in "".join(outcome.output.split()), "and named"


@pytest.mark.parametrize("phase", ["load", "warm-up", pytest.param("rounds", marks=pytest.mark.slow)])
def test_a_frozen_worker_is_ended_at_its_deadline(suite: Suite, scripted: Scripted, phase: str) -> None:
    begin = time.monotonic()
    outcome = suite(*ONE, *SOON[phase], *LONG, injected=scripted(fault={"kind": "freeze", **PHASES[phase]}))
    assert outcome.status == 1
    assert f"failed in {phase}" in outcome.output
    assert "gave no answer" in outcome.output
    assert time.monotonic() - begin < 300, "the batch's deadline, not the default of 900 s a round"


def test_a_worker_that_ends_is_reported_with_its_status(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*ONE, injected=scripted(fault={"kind": "exit", "phase": "prepare"}))
    assert "failed in prepare" in outcome.output and "exit status 3" in outcome.output


def test_an_error_in_generation_is_reported_in_a_sentence(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*ONE, injected=scripted(fault={"kind": "raise", "phase": "generate"}))
    assert "RuntimeError: injected failure" in outcome.output


def test_other_cases_go_on_after_a_fault(suite: Suite, scripted: Scripted) -> None:
    arguments = ["-k", "bloomz7b-1x", "--new-tokens", "4", "--rounds", "3"]
    first = suite(*arguments, injected=scripted(fault={"kind": "kill", "phase": "load"}))
    assert first.output.count("failed in load") >= 4
    assert "4 failed" in first.output


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_when_pytest_ends_its_workers_end(suite: Suite, scripted: Scripted, how: signal.Signals) -> None:
    """A killed session cannot clean up: the next one does. Others do it themselves, as the fixture checks."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *suite.command("-k", "bloomz7b-1x-eager", *ONE[2:], "--runs", "9")],
        cwd=ROOT,
        env=suite.environment(scripted(seconds={"eager": 0.05}, sleep=True)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    results = suite.results
    while not list(results.glob("*/session-unfinished.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    workers = workers_of(process)
    process.send_signal(how)
    if how == signal.SIGINT:
        time.sleep(0.1)
        process.send_signal(how)  # the second one, of an impatient person
    output, _ = process.communicate(timeout=300)
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert alive == []
    assert "Traceback" not in output
    report = [sys.executable, "-m", "gaudi_perf", "report", "--results-dir", str(results)]
    again = subprocess.run(report, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and "this session was ended early, or goes on" in again.stdout, again.stderr
    assert "not judged: bloomz7b-1x-eager-kvcache-n4: ended before it was judged" in again.stdout
    assert re.search(r"ended before it was judged; \d runs? until then, [\d.]+ ms$", again.stdout, re.MULTILINE)
    if how != signal.SIGKILL:
        assert f"KeyboardInterrupt: {how.name}" in output and list(suite.temporary.iterdir()) == []
    else:
        next_one = suite("-k", "bloomz7b-1x-eager-kvcache", "--new-tokens", "4", "--rounds", "3", injected=scripted())
        assert f"an earlier session (process {process.pid}, begun " in next_one.output
        assert "was killed before its end at: bloomz7b-1x" in next_one.output
