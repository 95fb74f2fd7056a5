"""DeepSpeed's launcher: ``deepspeed.launcher.launch`` on one host, ``deepspeed.launcher.runner`` over several.

On one host the runner would only start ``launch``, after an import of torch and DeepSpeed of its own; so it is left
out. What they start is a keeper per rank, which starts the rank. Exit statuses of DeepSpeed's launcher are not
believed: it ends with 0 when a signal ended what it started.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket as sockets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.hosts import Host, Hosts
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.launchers.base import Start
from gaudi_perf.workers.controller.launchers.environment import file_for, of_the_runner, require_kept

KEEPER = "gaudi_perf.workers.rank.agent"
LEASH = "gaudi_perf.workers.controller.launchers.leash"
_OF_BOTH = ("--no_local_rank", "--log_level=error", "--module")
_EVEN = ("slurm", "mpich", "impi", "mvapich")
_FILES_ONLY = ("slurm", "mpich")  # for which DeepSpeed starts files by Python, but no modules
_PROGRAMS = {"pdsh": "pdsh", "openmpi": "ompi_info", "slurm": "sinfo", "mpich": "mpirun", "impi": "mpirun"}


@dataclass(frozen=True)
class OverHosts(Start):
    """DeepSpeed's runner, which hands an environment on from a file."""

    launcher: str = "pdsh"
    environment_file: Path = Path()

    def prepare(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Write the file.

        Raises:
            UserError: something of it would come to other hosts as something else.
        """
        of_runner = of_the_runner(environment)
        places = {
            "the directory for temporary files": str(self.environment_file),
            "the Python interpreter": sys.executable,
            "the working directory": os.getcwd(),  # from which DeepSpeed has the others start
        }
        require_kept(of_runner, places, self.launcher)
        descriptor = os.open(self.environment_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(file_for(environment))
        return of_runner


def start_of(spec: GroupSpec, directory: Path, parent: int, launch: Launch, hosts: Hosts | None) -> Start:
    """How to start a group of several ranks.

    Raises:
        UserError: DeepSpeed, or the program of the launcher that was asked for, is not installed; the first host is
            not this machine.
    """
    if launch.own and find_spec("deepspeed") is None:
        raise UserError(f'{spec.devices} devices need DeepSpeed, which is not installed: pip install -e ".[deepspeed]"')
    leash = [
        *launch.interpreter(directory),
        "-m",
        LEASH,
        str(launch.watched(parent)),
    ]
    keeper = [KEEPER, "--engine", spec.engine, "--socket", str(directory / "socket")]
    used = (Host("localhost", spec.devices),) if hosts is None else hosts.for_devices(spec.devices)
    if len(used) > 1 and hosts is not None:
        return _over_hosts(used, hosts, leash, keeper, directory)
    world = base64.urlsafe_b64encode(json.dumps({used[0].name: list(range(spec.devices))}).encode()).decode()
    # No rank uses the address: on one host they meet in a file (workers.rank.communication).
    arguments = [f"--world_info={world}", "--master_addr=127.0.0.1", "--node_rank=0", *_OF_BOTH]
    words = [*leash, "deepspeed.launcher.launch", *arguments, *keeper, "--meeting", f"file://{directory / 'meeting'}"]
    temporary = directory / "tmp"  # removed with the group, whatever torch and DeepSpeed leave there
    temporary.mkdir(mode=0o700, exist_ok=True)
    environment = {"DS_ACCELERATOR": "cpu", "TMPDIR": str(temporary)}
    return Start(command=words, environment=environment, ranks=spec.devices)


def _over_hosts(used: tuple[Host, ...], hosts: Hosts, leash: list[str], keeper: list[str], directory: Path) -> Start:
    program = _PROGRAMS.get(hosts.launcher)
    if program is not None and shutil.which(program) is None:
        raise UserError(f"--launcher {hosts.launcher} needs {program}, which is not installed on this machine")
    if hosts.launcher in _EVEN and len({host.slots for host in used}) > 1:
        counts = ", ".join(f"{host.slots} on {host.name}" for host in used)
        raise UserError(
            f"--launcher {hosts.launcher} starts as many ranks on every host, and --hostfile asks for {counts}: give "
            "all of them as many slots, or use --launcher pdsh"
        )
    hostfile = directory / "hostfile"  # only what is used: not every launcher can choose
    hostfile.write_text("".join(f"{host.name} slots={host.slots}\n" for host in used))
    address = hosts.address or _address_of(used[0].name)
    if address.startswith("127."):
        raise UserError(
            f"--hostfile: the first host, {used[0].name}, has the address {address} here, at which other hosts find "
            "themselves: write its address in their network into the file"
        )
    meeting = _bound(address)
    port = meeting.getsockname()[1]
    arguments = [f"--hostfile={hostfile}", f"--launcher={hosts.launcher}", f"--master_addr={address}"]
    arguments += [f"--master_port={port}", "--no_ssh_check", *_OF_BOTH]
    if hosts.launcher == "slurm":
        arguments += _for_slurm(used)
    if hosts.launcher in _FILES_ONLY:
        arguments, keeper = _as_file(arguments, keeper)
    words = [*leash, "deepspeed.launcher.runner", *arguments, *keeper, "--meeting", f"tcp://{address}:{port}"]
    # DeepSpeed reads this file beside ~/.deepspeed_env; an absolute path stays what it is.
    file = directory / "handed-on"
    environment = {"DS_ACCELERATOR": "cpu", "DS_ENV_FILE": str(file)}
    if hosts.launcher == "openmpi":  # mpirun leaves files where it is killed; on other hosts its daemons clear up
        environment["OMPI_MCA_orte_local_tmpdir_base"] = str(directory)
    ranks = sum(host.slots for host in used)
    return OverHosts(
        command=words,
        environment=environment,
        ranks=ranks,
        meeting=meeting,
        launcher=hosts.launcher,
        environment_file=file,
    )


def _for_slurm(used: tuple[Host, ...]) -> list[str]:
    """Which hosts Slurm is to take: DeepSpeed chooses none by itself."""
    where = f"--nodelist={','.join(host.name for host in used)} --nodes={len(used)} --ntasks-per-node={used[0].slots}"
    return [f"--launcher_args={where}"]


def _as_file(arguments: list[str], keeper: list[str]) -> tuple[list[str], list[str]]:
    """A keeper as the file of its module."""
    found = find_spec(KEEPER)
    assert found is not None and found.origin is not None
    return [word for word in arguments if word != "--module"], [found.origin, *keeper[1:]]


def require_first_host(hosts: Hosts) -> None:
    """Make sure that the first host is this machine.

    Raises:
        UserError: it is not.
    """
    _bound(hosts.address or _address_of(hosts.hosts[0].name)).close()


def _address_of(name: str) -> str:
    try:
        return sockets.gethostbyname(name)
    except OSError:
        raise UserError(f"--hostfile: the first host, {name}, has no address: is its name right?") from None


def _bound(address: str) -> sockets.socket:
    """A socket with a port of its own at this address; without SO_REUSEADDR, so that nobody shares it."""
    bound = sockets.socket()
    try:
        bound.bind((address, 0))
    except OSError:
        bound.close()
        raise UserError(
            f"--hostfile: the first host has the address {address}, which is not this machine's: rank 0 speaks to "
            f"pytest over a local socket, so run pytest on the first host (this is {os.uname().nodename})"
        ) from None
    return bound
