"""Stand-ins for launchers that are not installed: they take DeepSpeed's commands and start the ranks here."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil

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


def reachable_address() -> str | None:
    """An address of this machine at which others could reach it; None if it has none but the loopback's."""
    found = [each.address for some in psutil.net_if_addrs().values() for each in some if each.family == socket.AF_INET]
    return next((address for address in found if not address.startswith("127.")), None)


def put(directory: Path, program: str, asked_for: str, text: str) -> str:
    """Write a launcher, and the program by which DeepSpeed finds that it is there; returns PATH with both on it."""
    begin = f"#!{sys.executable}\nimport os, subprocess, sys\nOWN = {reachable_address()!r}\n"
    for name, body in ((program, text + RUN), (asked_for, "")):
        (directory / name).write_text(begin + body)
        (directory / name).chmod(0o700)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"
