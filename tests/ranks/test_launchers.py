"""Launchers that are not installed where this is tested: stand-ins take DeepSpeed's commands and start the ranks here.

They show that DeepSpeed's command is one that starts our ranks, and what comes to them; not that Slurm or Open MPI do
what they are taken for.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.hosts import Host, Hosts
from tests.ranks.conftest import MakeGroup, prepare, rounds

SRUN = """
words = sys.argv[1:]
options = [words.pop(0) for _ in list(words) if words[0].startswith("-") or words[0].isdigit()]
assert words[:2] == [sys.executable, "-u"] and os.path.isfile(words[2]), "srun runs programs, python runs files"
assert f"--nodelist={OWN},198.51.100.2" in options and "--ntasks-per-node=1" in options
(exports,) = [option for option in options if option.startswith("--export=ALL,")]
added = dict(each.split("=", 1) for each in exports.removeprefix("--export=ALL,").split(","))
names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")
"""
MPIRUN = """
words = sys.argv[1:]
at = words.index(sys.executable)
options, words = words[:at], words[at:]
assert words[1:3] == ["-u", "-m"]
added = dict(options[i + 1].split("=", 1) for i, option in enumerate(options) if option == "-x")
names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")
"""
RUN = """
started = []
for rank in range(2):  # each as if it were alone on its host
    place = dict(zip(names, (str(rank), "2", "0", "1")))
    started.append(subprocess.Popen(words, env={**{"PATH": os.environ["PATH"]}, **added, **place}))
sys.exit(max(process.wait() for process in started))
"""


def own_address() -> str:
    """An address of this machine at which others could reach it."""
    found = [each.address for some in psutil.net_if_addrs().values() for each in some if each.family == socket.AF_INET]
    for address in found:
        if not address.startswith("127."):
            return address
    pytest.skip("this machine has no address but the loopback's")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts programs on PATH."""

    def put(program: str, asked_for: str, text: str) -> None:
        begin = f"#!{sys.executable}\nimport os, subprocess, sys\nOWN = {own_address()!r}\n"
        for name, body in ((program, text + RUN), (asked_for, "")):
            (tmp_path / name).write_text(begin + body)
            (tmp_path / name).chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


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
    hosts = Hosts((Host(own_address(), 1), Host("198.51.100.2", 1)), launcher=launcher)
    group = make_group(2, hosts=hosts)
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
