"""The controller's side of the CPU: what it finds, and the environment of its workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gaudi_perf.accelerators.cpu import accelerator as cpu
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.accelerators.cpu.stack import built_with
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.models import Scale


def threads(monkeypatch: pytest.MonkeyPatch, users: str | None, scale: Scale = "full") -> str:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if users is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", users)
    group = GroupSpec(engine="cpu", model="bloomz7b", devices=1, scale=scale, dtype="bfloat16")
    return CpuAccelerator().environment(group, Path())["OMP_NUM_THREADS"]


def test_there_is_one_cpu_with_the_memory_of_the_machine() -> None:
    found = CpuAccelerator().find()
    assert (found.name, found.count, found.memory_bytes) == ("cpu", 1, psutil.virtual_memory().total)


def test_threads_are_the_user_s_then_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_physical_cores", lambda: 48)
    assert threads(monkeypatch, users="3") == "3"
    assert threads(monkeypatch, users=None) == "48"
    assert threads(monkeypatch, users=None, scale="standin") == "1"


@pytest.mark.parametrize(("users", "expected"), [("4,2", "4"), (" 6 ", "6"), ("", "48"), ("many", "48"), ("0", "48")])
def test_whatever_the_user_s_variable_holds_the_worker_gets_a_number(
    users: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_physical_cores", lambda: 48)
    assert threads(monkeypatch, users=users) == expected


def cache_of(monkeypatch: pytest.MonkeyPatch, private: Path, **variables: str) -> str:
    for name in ("TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    group = GroupSpec(engine="cpu", model="bloomz7b", devices=1, scale="standin", dtype="bfloat16")
    return CpuAccelerator().environment(group, private)["TORCHINDUCTOR_CACHE_DIR"]


def test_compiled_steps_are_kept_where_this_user_can_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``/proc`` is a home in which nobody can make a directory, root included."""
    home, xdg, private = str(tmp_path / "home"), str(tmp_path / "xdg"), tmp_path / "private"
    own = {"TORCHINDUCTOR_CACHE_DIR": "/their/own"}
    assert cache_of(monkeypatch, private, HOME=home, XDG_CACHE_HOME=xdg, **own) == "/their/own"
    assert cache_of(monkeypatch, private, HOME=home, XDG_CACHE_HOME=xdg) == f"{xdg}/gaudi-perf/inductor"
    assert cache_of(monkeypatch, private, HOME=home, XDG_CACHE_HOME="/proc") == f"{home}/.cache/gaudi-perf/inductor"
    for variables in ({}, {"HOME": "/proc"}, {"HOME": "", "XDG_CACHE_HOME": ""}):
        assert cache_of(monkeypatch, private, **variables) == f"{private}/inductor"


def test_graphs_need_a_compiler_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = CpuAccelerator().cannot_run(True, 1)
    assert "no C++ compiler" in reason and "install g++ or set CXX" in reason
    assert CpuAccelerator().cannot_run(False, 1) == ""
    compiler = tmp_path / "c++-of-mine"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert CpuAccelerator().cannot_run(True, 1) == ""
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert CpuAccelerator().cannot_run(True, 1) != ""


def test_the_controller_s_side_imports_no_torch() -> None:
    code = (
        "import sys; from gaudi_perf.accelerators import accelerator_named\n"
        "accelerator_named('cpu').find()\n"
        "print([name for name in ('torch', 'transformers', 'deepspeed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("component", "version"),
    [("MKL-DNN", "3.12.0"), ("Math Kernel Library", "2024.2"), ("Arm Compute Library", "none")],
)
def test_versions_that_torch_was_built_with(component: str, version: str) -> None:
    configuration = (
        "PyTorch built with:\n"
        "  - GCC 13.3\n"
        "  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for Intel(R) 64\n"
        "  - Intel(R) MKL-DNN v3.12.0 (Git Hash 80afa71049cd)\n"
    )
    assert built_with(configuration, component) == version
