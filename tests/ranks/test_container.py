"""Several ranks in a container: its command is run once, and an agent in it starts the others."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable

import pytest

from gaudi_perf.workers.controller import processes, starting
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.launch import AGENT, RANK, Launch
from gaudi_perf.workers.controller.processes import alive, marked
from tests.ranks.conftest import ROOT, MakeGroup, prepare, processes_of, rounds
from tests.ranks.test_faults import GONE_WITHIN, QUICK, gone_after, run_into

DOCKER = ROOT / "tests" / "injected" / "pretended_docker.py"
Start = Callable[..., WorkerGroup]


@pytest.fixture
def group(make_group: MakeGroup, injected: Callable[..., None]) -> Start:
    """Two ranks in a pretended container, with a fault."""

    def make(**fault: object) -> WorkerGroup:
        injected(**fault)
        options = ["--volume={directory}:{directory}", "--env-file={environment}"]
        program = (sys.executable, str(DOCKER), "run", *options, "image", sys.executable)
        variables = {name: os.environ[name] for name in ("PYTHONPATH", "GAUDI_PERF_INJECTED")}
        launch = Launch("next", program, variables, own=False, container=True)
        return make_group(2, deadlines=QUICK, launch=launch)

    return make


def test_ranks_of_a_container_answer_and_end(group: Start) -> None:
    ranks = group()
    ranks.start()
    assert ranks.load().stack.settings["world-size"] == "2"
    prepare(ranks)
    assert len(rounds(ranks).rank_latencies_s or []) == 2
    assert len(processes_of(ranks, AGENT)) == 3 and len(processes_of(ranks, RANK)) == 2
    assert gone_after(ranks) < GONE_WITHIN


def test_a_killed_rank_of_a_container_is_named(group: Start) -> None:
    ranks = group(kind="kill", rank=1, phase="generate", after=3)
    failure = run_into(ranks)
    assert re.fullmatch(r"rank 1 \(process \d+ on \S+\) was killed by SIGKILL .* in rounds", failure.sentence)
    assert gone_after(ranks) < GONE_WITHIN


def test_ranks_that_cannot_be_seen_end_with_the_controller_s_pipe(
    group: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's client is killed, which the container does not notice; one rank hangs, the other waits for it."""
    ranks = group(kind="hang", rank=1, phase="generate", after=0)
    ranks.start()
    ranks.load()
    prepare(ranks)
    with pytest.raises(Exception, match="gave no answer"):
        rounds(ranks, deadline=1.0)
    mark = str(ranks.directory)
    with monkeypatch.context() as unseen:
        unseen.setattr(processes, "marked", lambda mark: [])
        unseen.setattr(starting, "_POLITE_SECONDS", 0.2)
        ranks.close()
    until = time.monotonic() + GONE_WITHIN
    while alive(marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive(marked(mark)) == []
