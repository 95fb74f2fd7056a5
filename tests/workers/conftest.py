from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.plan import Deadlines

ROOT = Path(__file__).parents[2]
QUICK = Deadlines(start=30, load=20, round=20)

MakeGroup = Callable[..., WorkerGroup]


@pytest.fixture
def spec() -> GroupSpec:
    return GroupSpec(engine="cpu", model="bloomz7b", devices=1, scale="standin", dtype="bfloat16")


@pytest.fixture
def injected(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Injects faults into workers; see tests/injected."""

    def inject(**more: Any) -> None:
        monkeypatch.setenv("GAUDI_PERF_INJECTED", json.dumps({"engine": "scripted", **more}))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)]))

    inject()
    return inject


@pytest.fixture
def make_group(
    spec: GroupSpec,
    injected: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeGroup]:
    """Makes worker groups with the scripted engine, ends them, and sees that no process of theirs is left."""
    monkeypatch.setattr("gaudi_perf.workers.controller.starting._POLITE_SECONDS", 1.0)
    place = tmp_path_factory.mktemp("g")
    groups: list[WorkerGroup] = []

    def make(
        program: str | None = None, deadlines: Deadlines = QUICK, progress: Callable[[str], None] = lambda text: None
    ) -> WorkerGroup:
        launch = Launch() if program is None else Launch(program=(sys.executable, "-c", program))
        directory = place / str(len(groups))
        group = WorkerGroup(spec, CpuAccelerator(), directory, deadlines, progress, launch=launch)
        groups.append(group)
        return group

    yield make
    for group in groups:
        group.close()
    assert left_processes(str(place)) == []


def left_processes(mark: str) -> list[psutil.Process]:
    """Processes that still run and whose command line or environment holds a text."""
    left = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), *process.environ().values()]
            if any(mark in word for word in told) and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
        except psutil.Error:
            continue
    return [process for process in left if process.pid != os.getpid()]
