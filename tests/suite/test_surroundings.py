"""What surrounds a session and must not matter: another user of the machine, and a clock that jumps."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.suite.conftest import ROOT, Scripted, Suite, workers_of

ONE = ["-k", "bloomz7b-1x-eager-kvcache", "--new-tokens", "4"]
NOBODY = 65534
JUMPING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
/* Each reading of the wall clock is an hour before or after it; the monotonic clock goes on. */
int clock_gettime(clockid_t clock, struct timespec *moment) {
    static long readings;
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, moment);
    if (clock == CLOCK_REALTIME) moment->tv_sec += readings++ % 2 ? 3600 : -3600;
    return status;
}
"""


def test_a_clock_that_jumps_and_time_zones_change_nothing(suite: Suite, scripted: Scripted) -> None:
    source, library = suite.place / "jumping.c", suite.place / "jumping.so"
    source.write_text(JUMPING)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    jumping = {"LD_PRELOAD": str(library)}
    stored = suite(*ONE, "--refresh-baselines", "--runs", "3", injected=scripted(), TZ="Asia/Kathmandu", **jumping)
    assert stored.status == 0 and "-n4: new at " in stored.output, stored.output
    judged = suite(*ONE, "--runs", "3", injected=scripted(), TZ="America/St_Johns", **jumping)
    assert judged.verdicts() == {ONE[1]: "UNCHANGED"}, judged.output
    assert "Traceback" not in stored.output + judged.output


def as_nobody(attempt: Callable[[], object]) -> str:
    """How an attempt of another user fails; empty if it succeeds."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        said = ""
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            attempt()
        except OSError as error:
            said = type(error).__name__
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    os.wait()
    with open(reading) as answer:
        return answer.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_user_reaches_neither_the_worker_nor_results(suite: Suite, scripted: Scripted) -> None:
    """In a place that all users may enter, as /tmp and /srv are."""
    public = Path(tempfile.mkdtemp())
    try:
        public.chmod(0o777)
        (public / "weights").mkdir()
        seen = public / "seen"
        results = ["--results-dir", str(public / "results"), "--weights", str(public / "weights")]
        command = [*suite.command(*ONE, "--rounds", "400", "--time-budget", "60"), *results]
        environment = suite.environment(scripted(seconds={"eager": 0.5}, sleep=True), TMPDIR=str(public))
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            (worker,) = workers_of(process)
            (path,) = public.glob("gaudi-perf-*/**/socket")
            assert "weights" not in " ".join(worker.cmdline())
            assert as_nobody(lambda: seen.write_text("a public place")) == ""
            for attempt in (
                lambda: socket.socket(socket.AF_UNIX).connect(str(path)),
                lambda: os.listdir(path.parent),
                lambda: os.listdir(public / "results"),
                lambda: Path(f"/proc/{worker.pid}/environ").read_bytes(),
            ):
                assert as_nobody(attempt) == "PermissionError"
            process.terminate()
            process.communicate(timeout=60)
        assert sorted(entry.name for entry in public.iterdir()) == ["results", "seen", "weights"]
    finally:
        shutil.rmtree(public)
