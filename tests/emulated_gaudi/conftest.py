"""Processes on pretended servers. Importing the emulation changes torch for good, so it never happens in here."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated_gaudi.build import BuildError, build
from emulated_gaudi.control import environment

INSIDE = Path(__file__).parent / "inside"
DEADLINE = 240  # seconds; generous, the machine may be busy

Environment = dict[str, str]


def clean_environment() -> Environment:
    """This process's environment without what would change the pretended server."""
    unwanted = ("PT_HPU_", "HLS_", "HABANA_", "EMULATED_GAUDI_SETTINGS", "EMULATED_GAUDI_FAULTS", "RANK", "LOCAL_RANK")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(unwanted) and k != "WORLD_SIZE"}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def device_library() -> Path:
    """The compiled device; tests that need it are skipped where there is no compiler."""
    try:
        return build()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def server(device_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    """Makes the environment of a process on a new pretended server; keyword arguments are environment()'s."""

    def make(variables: Environment | None = None, **arguments: object) -> Environment:
        prepared = environment(directory=tmp_path_factory.mktemp("server"), **arguments)  # type: ignore[arg-type]
        return {**clean_environment(), **prepared, **(variables or {})}

    return make


def run(arguments: list[str], env: Environment) -> subprocess.CompletedProcess[str]:
    """Runs Python in the directory of the inner scripts, to its end."""
    return subprocess.run(
        [sys.executable, *arguments], env=env, cwd=INSIDE, capture_output=True, text=True, timeout=DEADLINE
    )


def results(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What inside/runner.py found: check -> traceback, empty if it passed."""
    last = [line for line in done.stdout.splitlines() if line.startswith("RESULTS ")]
    assert last, f"exit status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    found: dict[str, str] = json.loads(last[-1].removeprefix("RESULTS "))
    return found


@pytest.fixture(scope="session")
def checked(
    server: Callable[..., Environment], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, str]]:
    """The results of a group of inner modules; every group runs once, in one process."""

    @functools.cache
    def done(group: str) -> subprocess.CompletedProcess[str]:
        if group == "lazy":
            variables = {
                "PT_HPU_LAZY_MODE": "1",
                "PT_HPU_ENABLE_CACHE_METRICS": "1",
                "PT_HPU_PLACE_ON_CPU": "mul",
                "HLS_MODULE_ID": "3",
                "RANK": "0",
            }
            env = server(variables, memory_bytes=256 * 1024**2)
            return run(["runner.py", "device", "graphs", "metrics", "faults", "operators"], env)
        lower = tmp_path_factory.mktemp("autocast") / "lower.txt"
        lower.write_text("add\nmatmul\n")
        variables = {"PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST": str(lower)}
        return run(["runner.py", "eager"], server(variables, generation="gaudi3", devices=2))

    def of(group: str) -> dict[str, str]:
        return results(done(group))

    return of


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
