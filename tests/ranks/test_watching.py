"""What the controller does to processes that keepers tell of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gaudi_perf.runtime.keeper import WORD, RankWord
from gaudi_perf.runtime.watching import RankWatch


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
def test_only_processes_of_the_group_are_asked_where_they_stand(
    sleeper: subprocess.Popen[bytes], tmp_path: Path, ours: bool
) -> None:
    watch = RankWatch(tmp_path / "log")
    writer = watch.begin()
    word = RankWord(rank=0, host=os.uname().nodename, pid=sleeper.pid)
    os.write(writer, WORD.encode() + msgspec.json.encode(word) + b"\n")
    until = time.monotonic() + 10
    while watch.started == 0 and time.monotonic() < until:
        time.sleep(0.01)
    watch.blamed({sleeper.pid} if ours else {os.getpid()})
    assert sleeper.poll() == (-signal.SIGUSR1 if ours else None)
    os.close(writer)
    watch.end()
