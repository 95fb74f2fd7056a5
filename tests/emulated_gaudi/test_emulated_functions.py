"""The emulation function by function: each check runs inside a process on a pretended server, and is one test here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import DEADLINE, INSIDE, Environment, results, run

GROUPS = {
    "device": "lazy",
    "operators": "lazy",
    "graphs": "lazy",
    "metrics": "lazy",
    "faults": "lazy",
    "eager": "eager",
}


def checks(module: str) -> list[str]:
    tree = ast.parse((INSIDE / f"{module}.py").read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f"{module}:{name}" for name in names if name.startswith("check_")]


LONG = "device:check_tensors_lie_on_this_processs_device"


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, marks=[pytest.mark.slow] * (c == LONG)) for module in GROUPS for c in checks(module)],
)
def test_inside(check: str, checked: Callable[[str], dict[str, str]]) -> None:
    trace = checked(GROUPS[check.split(":")[0]])[check]
    if trace.endswith("RuntimeError: Cannot have both HPU and cuda.\n"):  # torch says so where it is built with CUDA
        pytest.skip("this torch is built with CUDA and takes no other accelerator: install a CPU build")
    assert not trace, trace


def test_every_row_of_the_page_names_its_checks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "emulated_gaudi.md").read_text()
    _, _, below = page.partition("## Fidelity")
    rows = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("| ")][2:]
    exist = {c.partition(":check_")[2] for module in (*GROUPS, "collectives") for c in checks(module)}
    for file in Path(__file__).parent.glob("test_*.py"):
        exist |= set(re.findall(r"^def test_(\w+)", file.read_text(), re.M))
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(\w+)`", row.rstrip(" |").rpartition(" | ")[2])
        assert named and set(named) <= exist, row


def test_the_first_generation_has_no_fp8(server: Callable[..., Environment]) -> None:
    code = (
        "import torch, habana_frameworks.torch\n"
        "torch.ops.hpu.cast_to_fp8_v2(torch.ones(1, device='hpu'), None, False, False, torch.float8_e5m2)"
    )
    done = run(["-c", code], server(generation="gaudi"))
    assert done.stderr.splitlines()[-1] == "RuntimeError: FP8 is not supported on Gaudi of the first generation"


@pytest.mark.ranks
def test_two_ranks(server: Callable[..., Environment], free_port: int) -> None:
    common = {
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port), "WORLD_SIZE": "2", "LOCAL_SIZE": "2"},
        **{"PT_HPU_LAZY_MODE": "1", "PT_HPU_ENABLE_LAZY_COLLECTIVES": "true"},
    }
    env = server(common)
    ranks = [
        subprocess.Popen(
            [sys.executable, "runner.py", "collectives"],
            env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=INSIDE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            out, err = rank.communicate(timeout=DEADLINE)
            found = results(subprocess.CompletedProcess(rank.args, rank.returncode, out, err))
            assert set(found) == set(checks("collectives"))
            assert not any(found.values()), "\n".join(found.values())
    finally:
        for rank in ranks:
            rank.kill()
