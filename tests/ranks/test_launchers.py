"""Launchers that are not installed where this is tested: stand-ins take DeepSpeed's commands and start the ranks here.

They show that DeepSpeed's command is one that starts our ranks, and what comes to them; not that Slurm or Open MPI do
what they are taken for.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.hosts import Host, Hosts
from gaudi_perf.workers.controller.launch import AGENT, RANK
from tests.ranks.conftest import MakeGroup, prepare, processes_of, rounds
from tests.ranks.pretended_launchers import MPIRUN, SRUN, put, reachable_address
from tests.ranks.test_faults import GONE_WITHIN, QUICK, SOON, gone_after


def own_address() -> str:
    return reachable_address() or pytest.skip("this machine has no address but the loopback's")


def two_hosts(launcher: str) -> Hosts:
    return Hosts((Host(own_address(), 1), Host("198.51.100.2", 1)), launcher=launcher)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts programs on PATH."""

    def put_on_path(program: str, asked_for: str, text: str) -> None:
        monkeypatch.setenv("PATH", put(tmp_path, program, asked_for, text))

    return put_on_path


@pytest.mark.parametrize(
    ("launcher", "program", "asked_for", "text"),
    [("slurm", "srun", "sinfo", SRUN), ("openmpi", "mpirun", "ompi_info", MPIRUN)],
)
def test_ranks_are_started_by(
    make_group: MakeGroup,
    injected: Callable[..., None],
    stand_in: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    launcher: str,
    program: str,
    asked_for: str,
    text: str,
) -> None:
    injected()  # by a variable with commas, quotes and spaces
    stand_in(program, asked_for, text)
    monkeypatch.setenv("PT_HPU_ODD", "a, b")
    group = make_group(2, hosts=two_hosts(launcher))
    group.start()
    loaded = group.load()
    assert loaded.stack.settings["world-size"] == "2"
    prepare(group)
    assert len(rounds(group).rank_latencies_s or []) == 2


@pytest.mark.parametrize("launcher", ["slurm", "mpich"])
def test_hosts_with_unequal_slots_are_refused_where_a_launcher_cannot(
    make_group: MakeGroup, stand_in: Callable[..., None], launcher: str
) -> None:
    stand_in("mpirun", "sinfo", "")
    hosts = Hosts((Host(own_address(), 2), Host("198.51.100.2", 1)), launcher=launcher)
    with pytest.raises(UserError, match=rf"--launcher {launcher} starts as many ranks on every host, and --hostfile"):
        make_group(3, hosts=hosts).start()


# ---- what may be lost where agents hold the ranks


@pytest.fixture
def group(make_group: MakeGroup, stand_in: Callable[..., None]) -> WorkerGroup:
    """Two ranks that are started by Open MPI's stand-in."""
    stand_in("mpirun", "ompi_info", MPIRUN)
    return make_group(2, hosts=two_hosts("openmpi"), deadlines=QUICK)


def failure_in_rounds(group: WorkerGroup) -> GroupFailure:
    group.start()
    group.load()
    prepare(group)
    with pytest.raises(GroupFailure) as failure:
        rounds(group, 5)
    return failure.value


def test_agents_stay_where_a_rank_is_killed(group: WorkerGroup, injected: Callable[..., None]) -> None:
    injected(kind="kill", rank=1, phase="generate", after=3)
    failure = failure_in_rounds(group)
    assert re.fullmatch(r"rank 1 \(process \d+ on \S+\) was killed by SIGKILL .* in rounds", failure.sentence)
    assert "[rank 1] injected: kill" in failure.log
    assert len(processes_of(group, AGENT)) == 2, "once one leaves, a launcher ends all"
    assert gone_after(group) < GONE_WITHIN


def test_a_frozen_rank_is_reported_by_its_agent(group: WorkerGroup, injected: Callable[..., None]) -> None:
    injected(kind="freeze", rank=1, phase="generate", after=3)
    failure = failure_in_rounds(group)
    assert re.match(r"rank 1 \(process \d+ on \S+\) was frozen by a signal in rounds", failure.sentence)
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize("moment", ["load", "rounds"])
def test_a_lost_launcher(group: WorkerGroup, injected: Callable[..., None], moment: str) -> None:
    if moment == "load":
        injected(kind="hang", phase="load", rank=1)
        group.start()
    else:
        injected(kind="lag", phase="lag", seconds=0.5, rank=0)  # ranks are checked while a round is waited for
        group.start()
        group.load()
        prepare(group)
    assert group.processes.pid is not None
    os.kill(group.processes.pid, signal.SIGKILL)
    lost = r"the launcher of the ranks \(process \d+\) was killed by SIGKILL"
    with pytest.raises(GroupFailure, match=lost) as failure:
        if moment == "load":
            group.load()
        while True:
            rounds(group, phase=moment)
    assert failure.value.phase == moment
    assert gone_after(group) < GONE_WITHIN


def test_a_launcher_that_does_not_end(group: WorkerGroup, injected: Callable[..., None]) -> None:
    injected()
    group.start()
    group.load()
    assert group.processes.pid is not None
    os.kill(group.processes.pid, signal.SIGSTOP)
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize("stopped", [0, 1])
def test_nothing_is_heard_of_the_rank_of_a_stopped_agent(
    make_group: MakeGroup, stand_in: Callable[..., None], injected: Callable[..., None], stopped: int
) -> None:
    """The rank itself goes on, until the group is ended."""
    stand_in("mpirun", "ompi_info", MPIRUN)
    injected(kind="lag", phase="lag", seconds=0.5, rank=0)
    group = make_group(2, hosts=two_hosts("openmpi"), deadlines=replace(QUICK, host=SOON))
    group.start()
    group.load()
    prepare(group)
    (rank,) = [rank for rank in processes_of(group, RANK) if rank.environ()["RANK"] == str(stopped)]
    agent = rank.parent()
    assert agent is not None
    agent.suspend()
    lost = rf"nothing was heard of rank {stopped} \(process {rank.pid} on \S+\) for 3 s in rounds"
    with pytest.raises(GroupFailure, match=lost):
        while True:
            rounds(group)
    assert gone_after(group) < GONE_WITHIN


def test_an_agent_that_is_ended_reports_first_that_its_rank_has(
    group: WorkerGroup, injected: Callable[..., None]
) -> None:
    """A launcher ends all agents once one has ended, which may be that of a rank that only lost its peer."""
    injected(kind="slow exit", phase="generate", after=1, rank=1)
    group.start()
    group.load()
    prepare(group)
    (rank,) = [rank for rank in processes_of(group, RANK) if rank.environ()["RANK"] == "1"]
    agent = rank.parent()
    assert agent is not None

    def end_the_agent() -> None:
        while os.path.exists(f"/proc/{rank.pid}/fd/2"):
            time.sleep(0.01)
        time.sleep(0.2)  # in which the agent sees that there is no output any more
        agent.terminate()

    ending = threading.Thread(target=end_the_agent)
    ending.start()
    with pytest.raises(GroupFailure, match=rf"rank 1 \(process {rank.pid} on \S+\) ended with exit status 3 in rounds"):
        rounds(group, 3)
    ending.join()
    assert gone_after(group) < GONE_WITHIN
