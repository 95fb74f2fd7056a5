"""DeepSpeed's launcher, ``deepspeed.launcher.runner``, which starts an agent per rank on several hosts.

Its exit status is not believed: it ends with 0 when a signal ended what it started.
"""

from __future__ import annotations

import os
import shutil
import socket as sockets
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.handing_on import file_for, of_the_runner, require_kept
from gaudi_perf.workers.controller.hosts import Host, Hosts
from gaudi_perf.workers.controller.launch import AGENT, PARENT_DEATH, Launch, write_private

_EVEN = ("slurm", "mpich", "impi", "mvapich")
_FILES_ONLY = ("slurm", "mpich")  # for which DeepSpeed starts files by Python, but no modules
_PROGRAMS = {"pdsh": "pdsh", "openmpi": "ompi_info", "slurm": "sinfo", "mpich": "mpirun", "impi": "mpirun"}


class LauncherStart(NamedTuple):
    """How the launcher is started.

    Attributes:
        environment: all its variables.
        meeting: the socket at whose address the ranks meet. It is bound here and given to rank 0, so that nobody else
            can take its port in between.
    """

    command: list[str]
    environment: Mapping[str, str]
    meeting: sockets.socket


def prepare(
    used: tuple[Host, ...],
    hosts: Hosts,
    launch: Launch,
    arguments: list[str],
    added: Mapping[str, str],
    directory: Path,
) -> LauncherStart:
    """How to start a group on several hosts; writes what the launcher reads into the group's directory.

    Args:
        used: the hosts, each with as many slots as the group uses.
        hosts: they and others, and how processes are started there.
        launch: the stack's interpreter.
        arguments: of an agent; the place where ranks meet follows.
        added: environment variables of the group.
        directory: the group's private directory.

    Raises:
        UserError: the launcher's program is not installed; the first host is not this machine, or not to be reached by
            others; something of the environment would come to other hosts as something else.
    """
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
    address = _address_of(used[0].name)
    if address.startswith("127."):
        raise UserError(
            f"--hostfile: the first host, {used[0].name}, has the address {address} here, at which other hosts find "
            "themselves: write its address in their network into the file"
        )
    # DeepSpeed reads this file beside ~/.deepspeed_env; an absolute path stays what it is.
    file = directory / "handed-on"
    of_launcher = {"DS_ACCELERATOR": "cpu", "DS_ENV_FILE": str(file)}
    if hosts.launcher == "openmpi":  # mpirun leaves files where it is killed; on other hosts its daemons clear up
        of_launcher["OMPI_MCA_orte_local_tmpdir_base"] = str(directory)
    environment = launch.variables({**added, **of_launcher}, directory)
    of_runner = of_the_runner(environment)
    places = {
        "the directory for temporary files": str(file),
        "the Python interpreter": sys.executable,
        "the working directory": os.getcwd(),  # from which DeepSpeed has the others start
    }
    require_kept(of_runner, places, hosts.launcher)
    write_private(file, file_for(environment))
    agent = ["--module", AGENT]
    if hosts.launcher in _FILES_ONLY:
        found = find_spec(AGENT)
        assert found is not None and found.origin is not None
        agent = [found.origin]
    meeting = _bound(address)
    port = meeting.getsockname()[1]
    options = [f"--hostfile={hostfile}", f"--launcher={hosts.launcher}", f"--master_addr={address}"]
    options += [f"--master_port={port}", "--no_ssh_check", "--no_local_rank", "--log_level=error"]
    if hosts.launcher == "slurm":  # DeepSpeed chooses no hosts for it
        names = ",".join(host.name for host in used)
        where = f"--nodelist={names} --nodes={len(used)} --ntasks-per-node={used[0].slots}"
        options.append(f"--launcher_args={where}")
    runner = [PARENT_DEATH, str(launch.watched(os.getpid())), "deepspeed.launcher.runner"]
    command = [*launch.interpreter(directory), "-m", *runner, *options, *agent, *arguments, f"tcp://{address}:{port}"]
    return LauncherStart(command, of_runner, meeting)


def require_first_host(hosts: Hosts) -> None:
    """Make sure that the first host is this machine.

    Raises:
        UserError: it is not.
    """
    _bound(_address_of(hosts.hosts[0].name)).close()


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
