"""What the controller finds of ranks: from what their agents report, and of ranks that are its own children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gaudi_perf.protocol import MISTAKE_STATUS, REPORT, RankReport
from gaudi_perf.workers.controller import rank_monitor
from gaudi_perf.workers.controller.processes import GroupFailure
from gaudi_perf.workers.controller.rank_monitor import RankMonitor

HERE = os.uname().nodename
LOST_PEER = "RuntimeError: [pair.cc:538] gloo: Connection closed by peer [127.0.0.1]:1"


class Monitored:
    """A monitor, and the pipe into which agents and ranks write."""

    def __init__(self, log: Path, **more: float) -> None:
        self.monitor = RankMonitor(log, **more)
        reader, self._writer = os.pipe()
        self.monitor.read(os.fdopen(reader, "rb"))

    def report(self, *reports: RankReport, text: str = "") -> None:
        """Write as agents and their ranks do, and wait until it is read."""
        lines = [REPORT.encode() + msgspec.json.encode(report) for report in reports]
        os.write(self._writer, b"".join(line + b"\n" for line in [*text.encode().splitlines(), *lines]))
        wait_until(lambda: all("process" in self.monitor.name(report.rank) for report in reports))

    def failure(self) -> GroupFailure:
        return failure_of(self.monitor)

    def close(self) -> None:
        os.close(self._writer)
        self.monitor.end()


Monitor = Callable[..., Monitored]


@pytest.fixture
def monitored(tmp_path: Path) -> Iterator[Monitor]:
    made: list[Monitored] = []

    def make(log: Path = tmp_path / "log", **more: float) -> Monitored:
        made.append(Monitored(log, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)


def failure_of(monitor: RankMonitor) -> GroupFailure:
    wait_until(lambda: monitor.failure("rounds") is not None)
    failure = monitor.failure("rounds")
    assert failure is not None
    return failure


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that SIGUSR1 would end."""
    process = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("ours", [True, False])
def test_only_processes_of_the_group_are_asked_for_their_stacks(
    sleeper: subprocess.Popen[bytes], monitored: Monitor, ours: bool
) -> None:
    ranks = monitored()
    ranks.report(RankReport(rank=0, host=HERE, pid=sleeper.pid))
    ranks.monitor.waited_for({sleeper.pid} if ours else {os.getpid()}, 1)
    assert sleeper.poll() == (-signal.SIGUSR1 if ours else None)


@pytest.mark.parametrize("log", ["/dev/full", "/dev/null/log"])
def test_a_log_that_cannot_be_written_does_not_end_the_ranks(monitored: Monitor, log: str) -> None:
    ranks = monitored(Path(log))
    ranks.report(RankReport(rank=0, host="a", pid=1), text="[rank 0] loading")
    ranks.report(RankReport(rank=1, host="a", pid=2), text="[rank 1] loading")
    assert "process 2" in ranks.monitor.name(1)
    assert ranks.monitor.last_lines(1) == "[rank 1] loading", "what was said is known all the same"


def stack(rank: int, *files: str) -> str:
    """What a rank of another host writes shortly before a deadline, as its launcher passes it on."""
    frames = "".join(f'b: [rank {rank}]   File "{file}", line 1 in x\n' for file in files)
    return f"b: [rank {rank}] Stack (most recent call first):\n{frames}"


WAITS, BUSY = ("/torch/distributed/c.py", "/model.py"), ("/kernel.py", "/model.py")


@pytest.mark.parametrize(
    ("stacks", "expected"),
    [
        (
            {0: WAITS, 1: BUSY},
            'rank 1 (process 11 on b) did not come to where the others wait for it (it is in /kernel.py"',
        ),
        ({1: BUSY}, "rank 1 (process 11 on b) did not come"),
        ({0: WAITS, 1: WAITS}, "every rank waits for the others in a collective"),
        ({0: BUSY, 1: BUSY}, ""),
        ({0: WAITS}, ""),
    ],
)
def test_the_rank_that_the_others_wait_for_is_found_by_its_stack(
    monitored: Monitor, monkeypatch: pytest.MonkeyPatch, stacks: dict[int, tuple[str, ...]], expected: str
) -> None:
    monkeypatch.setattr(rank_monitor, "_ANSWER_SECONDS", 0.0)
    ranks = monitored()
    reports = [RankReport(rank=rank, host="b", pid=10 + rank) for rank in (0, 1)]
    ranks.report(*reports, text="".join(stack(rank, *files) for rank, files in stacks.items()))
    found = ranks.monitor.waited_for(set(), 2)
    assert found.startswith(expected) and bool(found) == bool(expected)
    ranks.monitor.begin_request()
    assert ranks.monitor.waited_for(set(), 2) == "", "stacks of the request before say nothing of this one"


def test_a_rank_whose_agent_is_gone_is_named_at_a_deadline(monitored: Monitor) -> None:
    """Where its launcher does not notice, and before its host counts as gone."""
    ranks = monitored()
    ranks.report(RankReport(rank=0, host="b", pid=10))
    assert ranks.monitor.waited_for(set(), 2) == "nothing was heard of rank 1 at all: was it started?"
    ranks.report(RankReport(rank=1, host="b", pid=11))
    ranks.monitor._heard[1] -= 7.0
    assert ranks.monitor.waited_for(set(), 2) == "nothing was heard of rank 1 (process 11 on b) for 7 s"


def test_a_host_that_is_silent_is_named_beside_a_rank_that_lost_its_peer(
    monitored: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_monitor, "_CAUSE_SECONDS", 1.0)
    ranks = monitored()
    ranks.report(RankReport(rank=0, host="a", pid=1), RankReport(rank=1, host="worker-1", pid=2))
    time.sleep(0.5)
    ranks.report(RankReport(rank=0, host="a", pid=1, ended=1, last=LOST_PEER))
    failure = ranks.failure()
    assert failure.sentence.startswith("rank 0")
    assert failure.sentence.endswith("nothing was heard of rank 1 (process 2 on worker-1) for 1 s: is that host up?")


def test_a_host_of_which_nothing_is_heard_is_named(monitored: Monitor) -> None:
    ranks = monitored(silence_s=0.2)
    ranks.report(RankReport(rank=5, host="worker-1", pid=7))
    assert ranks.monitor.failure("rounds") is None
    failure = ranks.failure()
    sentence = "nothing was heard of rank 5 (process 7 on worker-1) for 0 s in rounds: is host worker-1 up"
    assert sentence in failure.sentence


@pytest.mark.parametrize(
    ("of_rank_0", "of_rank_1", "cause"),
    [
        ({"ended": 1, "last": "OutOfMemoryError: 80 GiB"}, {"ended": -6, "last": "NCCL: remote process exited"}, 0),
        (
            {"ended": 1, "last": "RuntimeError: gloo/transport/tcp/device.cc:84: Unable to find address for: eth9"},
            {"ended": 1, "last": "DistNetworkError: Failed to recv, got 0 bytes. Connection was likely closed."},
            0,
        ),
        ({"ended": 1, "last": "gloo: Broken pipe"}, {"ended": -9, "last": "Connection closed by peer"}, 1),
        ({"ended": -15}, {"ended": 1, "last": "ValueError: no"}, 1),
        ({"ended": 1, "last": "Read error: Connection reset by peer"}, {"ended": -15}, 1),
        ({"ended": 1, "last": "ValueError: no"}, {"ended": -11, "last": ""}, 1),
        ({"ended": 1, "last": LOST_PEER}, {"ended": 0, "last": ""}, 1),
    ],
)
def test_the_cause_is_named_of_two_ranks_that_ended(
    monitored: Monitor, of_rank_0: dict[str, Any], of_rank_1: dict[str, Any], cause: int
) -> None:
    ranks = monitored()
    ends = (of_rank_0, of_rank_1)
    ranks.report(*(RankReport(rank=rank, host="a", pid=rank + 1, **end) for rank, end in enumerate(ends)))
    assert ranks.failure().sentence.startswith(f"rank {cause}")


@pytest.mark.parametrize("consequence", [{"ended": 1, "last": LOST_PEER}, {"ended": -signal.SIGTERM}])
def test_a_rank_that_ended_because_of_another_is_not_named_while_that_one_may_still_be_heard_of(
    monitored: Monitor, monkeypatch: pytest.MonkeyPatch, consequence: dict[str, Any]
) -> None:
    monkeypatch.setattr(rank_monitor, "_CAUSE_SECONDS", 60.0)
    ranks = monitored()
    ranks.report(RankReport(rank=0, host="a", pid=1), RankReport(rank=1, host="a", pid=2))
    ranks.report(RankReport(rank=0, host="a", pid=1, **consequence))
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert ranks.monitor.failure("rounds") is None
        time.sleep(0.05)
    failure = ranks.monitor.failure("rounds", more=False)
    assert failure is not None and failure.sentence.startswith("rank 0"), "no more can be heard"
    ranks.report(RankReport(rank=1, host="a", pid=2, ended=1, last="boom"))
    assert ranks.failure().sentence == "rank 1 (process 2 on a) ended with exit status 1 in rounds: boom"


# ---- ranks that are children of the controller


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[[str], tuple[RankMonitor, subprocess.Popen[bytes]]]]:
    """A program as rank 1; its first line has been read."""
    monitor = RankMonitor(tmp_path / "log")
    made: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> tuple[RankMonitor, subprocess.Popen[bytes]]:
        words = [sys.executable, "-u", "-c", f"import os, sys, time; print('begins'); {program}"]
        made.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        monitor.add(1, made[-1])
        wait_until(lambda: "begins" in monitor.last_lines())
        return monitor, made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()
    monitor.end()


Child = Callable[[str], tuple[RankMonitor, "subprocess.Popen[bytes]"]]


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("print('boom'); print(); sys.exit(3)", "ended with exit status 3 in rounds: boom"),
        ("print('x' * 100_000); sys.exit(1)", f"ended with exit status 1 in rounds: {'x' * 500}"),
        ("os.write(1, b'no newline'); os._exit(1)", "ended with exit status 1 in rounds: no newline"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL (out of memory?) in rounds"),
        ("sys.exit(0)", "ended with exit status 0 in rounds"),
    ],
)
def test_how_a_child_ended(child: Child, program: str, found: str) -> None:
    monitor, process = child(program)
    failure = failure_of(monitor)
    assert failure.sentence == f"rank 1 (process {process.pid} on {HERE}) {found}"
    assert failure.phase == "rounds" and not failure.mistake and "[rank 1] " in failure.log


def test_a_child_s_mistake_is_its_last_line(child: Child) -> None:
    monitor, _ = child(f"print('mend this'); os._exit({MISTAKE_STATUS})")
    failure = failure_of(monitor)
    assert (failure.sentence, failure.mistake, failure.log) == ("mend this", True, "")


def test_a_child_that_is_stopped_for_a_moment_is_not_lost(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_monitor, "_STOPPED_SECONDS", 0.5)
    monitor, process = child("time.sleep(60)")
    os.kill(process.pid, signal.SIGSTOP)
    assert monitor.failure("rounds") is None
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(0.6)
    assert monitor.failure("rounds") is None
    os.kill(process.pid, signal.SIGSTOP)
    failure = failure_of(monitor)
    assert failure.sentence.endswith("was frozen by a signal in rounds, and its group was ended")


def test_what_a_rank_writes_is_no_report(child: Child, tmp_path: Path) -> None:
    report = REPORT + msgspec.json.encode(RankReport(rank=7, host="a", pid=1)).decode()
    monitor, _ = child(f"print({report!r}); time.sleep(60)")
    wait_until(lambda: REPORT in monitor.last_lines())
    assert monitor.name(7) == "rank 7" and f"[rank 1] {report}" in (tmp_path / "log").read_text()
