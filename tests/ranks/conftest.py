from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.protocol import GroupSpec, Weights
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.hosts import Hosts
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.processes import alive, marked
from tests.ranks.real_launchers import launcher, slurm
from tests.ranks.two_hosts import two_hosts

__all__ = ["launcher", "slurm", "two_hosts"]  # fixtures

ROOT = Path(__file__).parents[2]
MakeGroup = Callable[..., WorkerGroup]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What makes groups of ranks is left out of the fast lane."""
    for item in items:
        if item.path.parent == Path(__file__).parent and {"make_group", "two_hosts"} & set(item.fixturenames):  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.ranks)


@dataclass(frozen=True)
class Left:
    """What a group could leave behind."""

    shared_memory: frozenset[str]
    files: frozenset[str]
    descriptors: int
    threads: int

    @classmethod
    def now(cls, temporary: Path) -> Left:
        shared = {
            path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("deepspeed", "torch", "gp"))
        }
        return cls(
            frozenset(shared),
            frozenset(str(path) for path in temporary.rglob("*")),
            len(os.listdir("/proc/self/fd")),
            sum(thread.name == "ranks" for thread in threading.enumerate()),
        )


@pytest.fixture
def make_group(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeGroup]:
    """Makes groups of ranks; at the end no process, shared memory, file or descriptor of theirs may be left."""
    place = tmp_path_factory.mktemp("r")
    temporary = place / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = Left.now(temporary)
    groups: list[WorkerGroup] = []

    def make(
        ranks: int = 2,
        engine: str = "cpu",
        model: str = "bloomz7b",
        weights: Weights | None = None,
        deadlines: Deadlines | None = None,
        hosts: Hosts | None = None,
        launch: Launch | None = None,
    ) -> WorkerGroup:
        kept = deadlines or Deadlines(start=120, load=240, round=120)
        spec = GroupSpec(
            engine=engine, model=model, devices=ranks, scale="standin", dtype="float32", weights=weights or Weights()
        )
        accelerator = accelerator_named(engine, processes=ranks)
        group = WorkerGroup(spec, accelerator, place / str(len(groups)), kept, launch=launch or Launch(), hosts=hosts)
        groups.append(group)
        return group

    yield make
    for group in groups:
        group.close()
    for number in range(len(groups)):
        assert alive(marked(str(place / str(number)))) == []
    assert Left.now(temporary) == before


@pytest.fixture
def injected(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts the scripted engine, whose generation is one barrier, and a fault into ranks; see tests/injected."""

    def inject(**fault: Any) -> None:
        script = {"engine": "scripted", "sleep": fault.get("kind") == "lag", **({"fault": fault} if fault else {})}
        monkeypatch.setenv("GAUDI_PERF_INJECTED", json.dumps(script))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)]))

    return inject


def prepare(group: WorkerGroup, graphs: bool = False, kv_cache: bool = True, new_tokens: int = 4) -> None:
    variant = protocol.Variant(graphs=graphs, kv_cache=kv_cache, new_tokens=new_tokens)
    group.ask(protocol.Prepare(variant=variant), protocol.Prepared, phase="prepare")


def rounds(
    group: WorkerGroup, count: int = 1, phase: str = "rounds", deadline: float | None = None
) -> protocol.RoundsDone:
    return group.ask(protocol.Rounds(count=count), protocol.RoundsDone, phase=phase, deadline=deadline)


def processes_of(group: WorkerGroup, module: str) -> list[psutil.Process]:
    """Living processes of a group that run a module; what starts them has its name among later arguments."""
    found = []
    for process in marked(str(group.processes.log_path.parent)):
        try:
            if module in process.cmdline()[:4] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
