"""Launchers as they are installed: those of MPI by their mpirun, Slurm with daemons of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gaudi_perf.workers.controller.processes import descendants
from tests.ranks.two_hosts import TwoHosts

LAUNCHERS = ("pdsh", "openmpi", "mpich", "impi", "slurm")


@pytest.fixture(params=LAUNCHERS)
def launcher(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each launcher that is installed, so that DeepSpeed finds it."""
    name = str(request.param)
    if name == "slurm":
        request.getfixturevalue("slurm")
    if name in MPI:
        monkeypatch.setenv("PATH", _path_with(name, tmp_path / "bin"))
    return name


MPI = {
    "openmpi": ("Open MPI", ("mpirun.openmpi", "mpirun")),
    "mpich": ("HYDRA", ("mpirun.mpich", "mpirun")),
    "impi": ("Intel(R) MPI", (os.path.join(os.environ.get("I_MPI_ROOT", ""), "bin", "mpirun"), "mpirun")),
}
"""By launcher: what its mpirun says of itself, and where to look for one."""


def _path_with(launcher: str, place: Path) -> str:
    """A PATH on which this launcher's mpirun is the first."""
    says, names = MPI[launcher]
    for name in names:
        found = shutil.which(name)
        if found is None:
            continue
        path = os.pathsep.join([str(place), os.path.dirname(found), os.environ["PATH"]])
        told = subprocess.run([found, "--version"], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        if says in told.stdout:
            place.mkdir()
            (place / "mpirun").write_text(f'#!/bin/sh\nexec {shlex.quote(found)} "$@"\n')
            (place / "mpirun").chmod(0o755)
            return path
    pytest.skip(f"no mpirun of {says} is installed")


SLURM_CONF = """
ClusterName=gp
SlurmctldHost={first}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={first} NodeAddr={addresses[0]} CPUs=8
NodeName={second} NodeAddr={addresses[1]} CPUs=8
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(two_hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slurm over the two hosts: its own munge, a controller on the first one, a daemon on each."""
    programs = {}
    for name in ("munged", "slurmctld", "slurmd", "srun", "sinfo", "squeue"):
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if found is None:
            pytest.skip(f"not installed: {name}, of Slurm")
        programs[name] = found
    first, second = two_hosts.names
    daemons: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="gps") as place:  # munge wants its parents to be root's
        key = Path(place, "munge.key")
        key.write_bytes(os.urandom(64))
        key.chmod(0o400)
        Path(place, "state").mkdir()
        configuration = Path(place, "slurm.conf")
        configuration.write_text(
            SLURM_CONF.format(place=place, first=first, second=second, addresses=two_hosts.addresses)
        )
        monkeypatch.setenv("SLURM_CONF", str(configuration))
        files = [
            f"--{what}={place}/munge.{what.removesuffix('-file')}" for what in ("key-file", "pid-file", "log-file")
        ]
        commands = [
            [
                programs["munged"],
                "--foreground",
                "--force",
                f"--socket={place}/munge.socket",
                *files,
                f"--seed-file={place}/munge.seed",
            ],
            [*two_hosts.on(first), programs["slurmctld"], "-D"],
            [*two_hosts.on(first), programs["slurmd"], "-D", "-N", first],
            [*two_hosts.on(second), programs["slurmd"], "-D", "-N", second],
        ]
        try:
            for command in commands:
                with Path(place, "output").open("ab") as output:
                    daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output))
            idle = [*two_hosts.on(first), programs["sinfo"], "--noheader", "--format=%D %t"]
            for _ in range(300):
                told = subprocess.run(idle, capture_output=True, text=True)
                if told.stdout.split() == ["2", "idle"]:
                    break
                time.sleep(0.2)
            else:
                pytest.fail(
                    f"Slurm does not start here: {told.stdout} {told.stderr} {Path(place, 'output').read_text()[-500:]}"
                )
            yield
            jobs = [*two_hosts.on(first), programs["squeue"], "--noheader"]
            for _ in range(50):
                left = subprocess.run(jobs, capture_output=True, text=True, check=True).stdout
                if not left:
                    break
                time.sleep(0.2)
            assert not left, "a group leaves no job in the queue"
        finally:
            for daemon in reversed(daemons):
                inner = descendants(daemon.pid)  # nsenter's child, which writes files to its end
                for process in inner:
                    process.terminate()
                psutil.wait_procs(inner, timeout=60)
                daemon.terminate()
                daemon.wait(timeout=60)
