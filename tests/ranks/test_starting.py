"""What the ranks of one host are started with, without torch: programs stand in for them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.protocol import MARK, GroupSpec
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.processes import GroupFailure, alive, marked
from gaudi_perf.workers.controller.starting import GroupProcesses

VARIABLES = """
import json, os, sys, time
names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_SIZE CROSS_RANK CROSS_SIZE MASTER_ADDR DS_ACCELERATOR CUDA_VISIBLE_DEVICES"
print(json.dumps({name: os.environ.get(name) for name in names.split()}), flush=True)
time.sleep(60)
"""
Start = Callable[[str], GroupProcesses]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("RANK", "7")  # of whatever started pytest
    spec = GroupSpec(engine="cpu", model="bloomz7b", devices=2, scale="standin", dtype="float32")
    group = GroupProcesses(spec, tmp_path, 60.0)

    def start(program: str) -> GroupProcesses:
        launch = Launch(program=(sys.executable, "-c", program))
        group.start(CpuAccelerator(2), {MARK: str(tmp_path)}, launch, None)
        return group

    yield start
    group.end(None)
    assert alive(marked(str(tmp_path))) == []


def test_each_rank_has_the_variables_that_deepspeed_reads(start: Start) -> None:
    group = start(VARIABLES)
    until = time.monotonic() + 30
    while len(group.last_lines().splitlines()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    group.check("start")
    ranks = [json.loads(group.last_lines(rank).removeprefix(f"[rank {rank}] ")) for rank in (0, 1)]
    assert [(each.pop("RANK"), each.pop("LOCAL_RANK")) for each in ranks] == [("0", "0"), ("1", "1")]
    assert ranks[0] == ranks[1]
    assert ranks[0] == {
        "WORLD_SIZE": "2",
        "LOCAL_SIZE": "2",
        "CROSS_RANK": "0",
        "CROSS_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "DS_ACCELERATOR": "cpu",
        "CUDA_VISIBLE_DEVICES": "2,3",
    }


def test_ranks_that_all_end_without_a_word_are_lost(start: Start) -> None:
    group = start("pass")
    with pytest.raises(GroupFailure, match=r"rank [01] \(process \d+ on \S+\) ended with exit status 0 in load"):
        group.check("load", wait=True)
    assert group.lost


def test_a_group_that_cannot_be_started_whole_leaves_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GroupProcesses._run

    def fails_at_the_second(self: GroupProcesses, *arguments: object) -> object:
        if self._started:
            raise GroupFailure("start", "no more processes")
        return run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(GroupProcesses, "_run", fails_at_the_second)
    with pytest.raises(GroupFailure, match="no more processes"):
        start("import time; time.sleep(60)")
