"""How workers of a stack are started, and what reaches them."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import gaudi_perf
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.stacks import decode_stacks
from gaudi_perf.workers.controller import processes, starting
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.launch import Launch, stack_launch
from gaudi_perf.workers.rank.parent_death import ORPHAN_SECONDS
from tests.workers.conftest import QUICK, ROOT, left_processes

SECRET = "a secret"


def test_without_stacks_this_interpreter_starts_with_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert Launch().command(tmp_path) == [
        sys.executable, "-m", "gaudi_perf.workers.rank.worker",
        "--socket", str(tmp_path / "socket"), "--parent", str(os.getpid()),
    ]  # fmt: skip
    assert Launch().variables({"A": "1"}, tmp_path) == {**os.environ, "A": "1"}
    assert list(tmp_path.iterdir()) == []


def test_another_interpreter_gets_the_suite_and_nothing_else_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/of/this/one")
    launch = Launch("next", ("/opt/next/bin/python",), {"PYTHONPATH": "/mine", "TOKEN": SECRET}, own=False)
    variables = launch.variables({"PYTHONPATH": "/emulated", "OMP_NUM_THREADS": "1"}, tmp_path)
    suite, *others = variables["PYTHONPATH"].split(os.pathsep)
    assert others == ["/mine", "/emulated"]
    assert [path.name for path in Path(suite).iterdir()] == ["gaudi_perf"]
    assert (Path(suite) / "gaudi_perf").resolve() == Path(gaudi_perf.__file__).parent.resolve()
    assert variables["PATH"].split(os.pathsep)[0] == "/opt/next/bin"
    assert variables["TOKEN"] == SECRET and variables["OMP_NUM_THREADS"] == "1"
    assert "PYTHONHOME" not in variables and "VIRTUAL_ENV" not in variables
    assert SECRET not in " ".join(launch.command(tmp_path))
    assert "TOKEN" not in os.environ


def test_a_container_sees_the_directory_and_a_private_file_of_variables(tmp_path: Path) -> None:
    program = ("docker", "run", "--volume={directory}:{directory}", "--env-file={environment}", "image", "python3")
    launch = Launch("next", program, {"TOKEN": SECRET}, own=False, container=True)
    launch.variables({"OMP_NUM_THREADS": "1"}, tmp_path)
    words = launch.command(tmp_path)
    assert words[2:4] == [f"--volume={tmp_path}:{tmp_path}", f"--env-file={tmp_path / 'environment'}"]
    assert words[-2:] == ["--parent", "0"], "the controller's process is not the container's to see"
    file = tmp_path / "environment"
    assert file.read_text() == f"OMP_NUM_THREADS=1\nTOKEN={SECRET}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert SECRET not in " ".join(words)


def test_a_worker_behind_a_command_is_measured_and_ended(
    spec: GroupSpec, injected: Callable[..., None], tmp_path: Path
) -> None:
    """A shell that stays in between stands for a container's client: the worker's parent is not the controller."""
    wrapper = tmp_path / "container"
    wrapper.write_text('#!/bin/sh\nset -a\n. "$1"\nshift\n"$@"\nexit $?\n')
    wrapper.chmod(0o755)
    variables = {name: os.environ[name] for name in ("PYTHONPATH", "GAUDI_PERF_INJECTED")}
    quoted = {name: f"'{value}'" for name, value in variables.items()}
    launch = Launch("next", (str(wrapper), "{environment}", sys.executable), quoted, own=False, container=True)
    group = WorkerGroup(spec, CpuAccelerator(), tmp_path / "g", QUICK, launch=launch)
    try:
        group.start()
        assert group.load().device.name == "cpu"
    finally:
        group.close()
    assert left_processes(str(tmp_path / "g")) == []


def test_a_worker_that_cannot_be_seen_ends_with_its_connection(
    spec: GroupSpec, injected: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's client is killed, which it does not notice; and its processes belong to somebody else."""
    injected(fault={"kind": "hang", "phase": "load"})
    docker = ROOT / "tests" / "injected" / "pretended_docker.py"
    program = (
        sys.executable, str(docker), "run", "--volume={directory}:{directory}", "--env-file={environment}", "image",
        sys.executable,
    )  # fmt: skip
    variables = {name: os.environ[name] for name in ("PYTHONPATH", "GAUDI_PERF_INJECTED")}
    launch = Launch("next", program, variables, own=False, container=True)
    directory = tmp_path / "g"
    hurried = replace(QUICK, load=0.5)
    group = WorkerGroup(spec, CpuAccelerator(), directory, hurried, launch=launch)
    monkeypatch.setattr(processes, "marked", lambda mark: [])
    monkeypatch.setattr(starting, "_POLITE_SECONDS", 0.2)
    group.start()
    with pytest.raises(GroupFailure, match="gave no answer in load"):
        group.load()
    group.close()
    assert left_processes(str(directory)) != [], "nobody could end it"
    until = time.monotonic() + ORPHAN_SECONDS + 10
    while left_processes(str(directory)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left_processes(str(directory)) == []


def test_a_program_that_is_none_is_a_failure_of_the_start(spec: GroupSpec, tmp_path: Path) -> None:
    launch = Launch("next", (str(tmp_path),), own=False)
    group = WorkerGroup(spec, CpuAccelerator(), tmp_path / "g", QUICK, launch=launch)
    with pytest.raises(GroupFailure, match="cannot be started: Permission denied") as failure:
        group.start()
    group.close()
    assert failure.value.phase == "start"


def test_a_python_is_found_beside_the_file_and_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "python").symlink_to(sys.executable)
    file = tmp_path / "stacks.toml"
    file.write_text('[[stack]]\nname = "next"\npython = "venv/python"\nenvironment = { A = "1" }\n')
    launch = stack_launch("next", file, "--candidate-stack")
    assert launch == Launch("next", (str(tmp_path / "venv" / "python"),), {"A": "1"}, own=False)


def test_the_root_of_the_tests_is_no_part_of_a_stack(tmp_path: Path) -> None:
    variables = Launch("next", (sys.executable,), own=False).variables({}, tmp_path)
    assert str(ROOT) not in variables["PYTHONPATH"].split(os.pathsep)


def test_the_documented_stacks_are_ones(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "side_by_side.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 2
    commands = 0
    for block in blocks:
        for entry in decode_stacks(block.encode(), "docs").stack:
            if entry.command is None:
                continue
            commands += 1
            launch = Launch(entry.name, tuple(entry.command), own=False, container=True)
            words = launch.command(tmp_path)
            assert f"--volume={tmp_path}:{tmp_path}" in words and not any("{" in word for word in words)
            image = next(number for number, word in enumerate(words) if word.startswith("my-registry"))
            assert words[image + 1 : image + 4] == ["python3", "-m", "gaudi_perf.workers.rank.worker"]
    assert commands >= 3
