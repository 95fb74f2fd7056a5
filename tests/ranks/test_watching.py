"""What the controller does to processes that keepers tell of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gaudi_perf.workers.controller.rank_monitor import RankWatch
from gaudi_perf.workers.rank.agent import WORD, RankWord


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that SIGUSR1 would end."""
    process = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def tell(watch: RankWatch, writer: int, *words: RankWord, text: str = "") -> None:
    """Write as keepers and their ranks do, and wait until it is read."""
    lines = [WORD.encode() + msgspec.json.encode(word) for word in words]
    os.write(writer, b"".join(line + b"\n" for line in [*text.encode().splitlines(), *lines]))
    until = time.monotonic() + 10
    while watch.started < len(words) and time.monotonic() < until:
        time.sleep(0.01)


@pytest.mark.parametrize("ours", [True, False])
def test_only_processes_of_the_group_are_asked_where_they_stand(
    sleeper: subprocess.Popen[bytes], tmp_path: Path, ours: bool
) -> None:
    watch = RankWatch(tmp_path / "log")
    writer = watch.begin()
    tell(watch, writer, RankWord(rank=0, host=os.uname().nodename, pid=sleeper.pid))
    watch.blamed({sleeper.pid} if ours else {os.getpid()})
    assert sleeper.poll() == (-signal.SIGUSR1 if ours else None)
    os.close(writer)
    watch.end()


@pytest.mark.parametrize("log", ["/dev/full", "/dev/null/log"])
def test_a_log_that_cannot_be_written_does_not_end_the_ranks(log: str) -> None:
    watch = RankWatch(Path(log))
    writer = watch.begin()
    tell(watch, writer, RankWord(rank=0, host="a", pid=1), text="[rank 0] loading")
    tell(watch, writer, RankWord(rank=0, host="a", pid=1), RankWord(rank=1, host="a", pid=2), text="[rank 1] loading")
    assert watch.started == 2
    assert watch.last_lines(1) == "[rank 1] loading", "what was said is known all the same"
    os.close(writer)
    watch.end()


def stack(rank: int, *files: str) -> str:
    """What a rank of another host writes shortly before a deadline, as its launcher passes it on."""
    frames = "".join(f'b: [rank {rank}]   File "{file}", line 1 in x\n' for file in files)
    return f"b: [rank {rank}] Stack (most recent call first):\n{frames}"


WAITS, BUSY = ("/torch/distributed/c.py", "/model.py"), ("/kernel.py", "/model.py")


@pytest.mark.parametrize(
    ("stacks", "told"),
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
def test_ranks_of_other_hosts_are_held_to_what_they_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stacks: dict[int, tuple[str, ...]], told: str
) -> None:
    monkeypatch.setattr("gaudi_perf.workers.controller.rank_monitor._ANSWER_SECONDS", 0.0)
    watch = RankWatch(tmp_path / "log")
    writer = watch.begin()
    words = [RankWord(rank=rank, host="b", pid=10 + rank) for rank in (0, 1)]
    tell(watch, writer, *words, text="".join(stack(rank, *files) for rank, files in stacks.items()))
    found = watch.blamed(set())
    assert found.startswith(told) and bool(found) == bool(told)
    watch.asked()
    assert watch.blamed(set()) == "", "what was told of the request before says nothing of this one"
    os.close(writer)
    watch.end()


def test_a_host_that_is_silent_is_named_beside_a_rank_that_lost_its_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaudi_perf.workers.controller.rank_monitor._CAUSE_SECONDS", 1.0)
    watch = RankWatch(tmp_path / "log")
    writer = watch.begin()
    tell(watch, writer, RankWord(rank=0, host="a", pid=1), RankWord(rank=1, host="worker-1", pid=2))
    time.sleep(0.5)
    tell(watch, writer, RankWord(rank=0, host="a", pid=1, ended=1, last=LOST_PEER))
    until = time.monotonic() + 10
    while (trouble := watch.trouble("rounds")) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert trouble is not None and trouble[0] == 0
    assert trouble[1].endswith("nothing was heard of rank 1 (process 2 on worker-1) for 1 s: is that host up?")
    os.close(writer)
    watch.end()


def test_a_host_of_which_nothing_is_heard_is_named(tmp_path: Path) -> None:
    watch = RankWatch(tmp_path / "log", silence_s=0.2)
    writer = watch.begin()
    tell(watch, writer, RankWord(rank=5, host="worker-1", pid=7))
    assert watch.trouble("rounds") is None
    until = time.monotonic() + 10
    while (trouble := watch.trouble("rounds")) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert trouble is not None and trouble[0] == 5
    assert "nothing was heard of rank 5 (process 7 on worker-1) for 0 s in rounds: is host worker-1 up" in trouble[1]
    os.close(writer)
    watch.end()


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
    ],
)
def test_the_cause_is_named_of_two_ranks_that_ended(
    tmp_path: Path, of_rank_0: dict[str, Any], of_rank_1: dict[str, Any], cause: int
) -> None:
    watch = RankWatch(tmp_path / "log")
    writer = watch.begin()
    ends = (of_rank_0, of_rank_1)
    tell(watch, writer, *(RankWord(rank=rank, host="a", pid=rank + 1, **end) for rank, end in enumerate(ends)))
    until = time.monotonic() + 10
    while (trouble := watch.trouble("rounds")) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert trouble is not None and trouble[0] == cause
    os.close(writer)
    watch.end()


LOST_PEER = "RuntimeError: [pair.cc:538] gloo: Connection closed by peer [127.0.0.1]:1"


@pytest.mark.parametrize("consequence", [{"ended": 1, "last": LOST_PEER}, {"ended": -signal.SIGTERM}])
def test_a_rank_that_ended_because_of_another_is_not_named_while_that_may_still_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, consequence: dict[str, Any]
) -> None:
    monkeypatch.setattr("gaudi_perf.workers.controller.rank_monitor._CAUSE_SECONDS", 60.0)
    watch = RankWatch(tmp_path / "log")
    writer = watch.begin()
    tell(watch, writer, RankWord(rank=0, host="a", pid=1), RankWord(rank=1, host="a", pid=2))
    tell(watch, writer, RankWord(rank=0, host="a", pid=1, **consequence))
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert watch.trouble("rounds") is None
        time.sleep(0.05)
    assert (told := watch.trouble("rounds", more=False)) is not None and told[0] == 0, "nothing more can come"
    os.write(
        writer, WORD.encode() + msgspec.json.encode(RankWord(rank=1, host="a", pid=2, ended=1, last="boom")) + b"\n"
    )
    until = time.monotonic() + 10
    while (trouble := watch.trouble("rounds")) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert trouble == (1, "rank 1 (process 2 on a) ended with exit status 1 in rounds: boom")
    os.close(writer)
    watch.end()
