"""DeepSpeed's launcher, which starts an agent per rank on several hosts.

Its exit status is not used: it ends with 0 when a signal ended what it started. It passes variables on as ``export
NAME=VALUE;`` to ssh, as arguments to mpirun and as ``--export=NAME=VALUE,...`` to Slurm, where commas, spaces, quotes
and newlines are changed, or become commands. So the variables that the stacks read are passed as one variable of plain
characters, which every rank agent takes apart. Those that Python needs to start, and MVAPICH's, are passed unchanged,
or refused.
"""

from __future__ import annotations

import os
import re
import shutil
import socket as sockets
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from gaudi_perf.protocol import HANDED_ON, MARK, VISIBLE_DEVICES, HandedOn
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.secrecy import SECRET_NAME
from gaudi_perf.workers.controller.hosts import Host, Hosts
from gaudi_perf.workers.controller.launch import AGENT, PARENT_DEATH, Launch, write_private

_EVEN = ("slurm", "mpich", "impi", "mvapich")
_FILES_ONLY = ("slurm", "mpich")  # for which DeepSpeed starts files by Python, but no modules
_PROGRAMS = {"pdsh": "pdsh", "openmpi": "ompi_info", "slurm": "sinfo", "mpich": "mpirun", "impi": "mpirun"}

# What stacks read; never what may be a secret, for it stands in command lines.
_PREFIXES = (
    *("PT_", "HABANA_", "HLS_", "HCCL_", "NCCL_", "GLOO_", "CUDA_", "HF_", "OMP_", "MKL_", "KMP_", "TORCH"),
    *("LD_LIBRARY_PATH", "GAUDI_PERF_", "EMULATED_GAUDI_", "_GAUDI_PERF_", "TOKENIZERS_", "PATH", "PYTHON", "UCX_"),
)
_OF_A_HOST = (VISIBLE_DEVICES, HANDED_ON)  # DeepSpeed's launcher sets the first on every host
_AS_IT_IS = (MARK, "DS_ACCELERATOR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
_BY_DEEPSPEED = ("PYTHON", "MV2", "UCX", "MLFLOW")  # what its runner hands on by itself
_KEPT = {
    "pdsh": re.compile(r"[\w@+=:,./ -]*\Z"),  # a shell's word in double quotes, in which pdsh replaces %h, %n and %u
    "slurm": re.compile(r"[\w@%+=:./-]*\Z"),
}
_KEPT_BY_MPI = re.compile(r"[\w@%+=:,./-]*\Z")  # DeepSpeed puts quotes around others, and they stay


def prepare(
    used: tuple[Host, ...],
    launcher: str,
    launch: Launch,
    arguments: list[str],
    added: Mapping[str, str],
    directory: Path,
) -> tuple[list[str], dict[str, str], sockets.socket]:
    """How to start a group on several hosts; writes what the launcher reads into the group's private directory.

    The hosts have as many slots as the group uses; the place where ranks meet follows the ``arguments`` of an agent.
    Returns the command, its environment, and that place: it is bound, and given to rank 0, so that nobody can take it.
    Raises UserError if the launcher's program is not installed; the first host is not this machine, or not to be
    reached by others; something of the environment would come to other hosts as something else.
    """
    program = _PROGRAMS.get(launcher)
    if program is not None and shutil.which(program) is None:
        raise UserError(f"--launcher {launcher} needs {program}, which is not installed on this machine")
    if launcher in _EVEN and len({host.slots for host in used}) > 1:
        counts = ", ".join(f"{host.slots} on {host.name}" for host in used)
        raise UserError(
            f"--launcher {launcher} starts as many ranks on every host, and --hostfile asks for {counts}: give "
            "all of them as many slots, or use --launcher pdsh"
        )
    hostfile = directory / "hostfile"  # only what is used: not every launcher can choose
    hostfile.write_text("".join(f"{host.name} slots={host.slots}\n" for host in used))
    address = _address_of(used[0].address)
    if address.startswith("127."):
        raise UserError(
            f"--hostfile: the first host, {used[0].name}, has the address {address} here, at which other hosts find "
            "themselves: write its address in their network into the file"
        )
    # DeepSpeed reads this file beside ~/.deepspeed_env; an absolute path stays what it is.
    file = directory / "handed-on"
    of_launcher = {"DS_ACCELERATOR": "cpu", "DS_ENV_FILE": str(file)}
    if launcher == "openmpi":  # mpirun leaves files where it is killed; on other hosts its daemons clear up
        of_launcher["OMPI_MCA_orte_local_tmpdir_base"] = str(directory)
    environment = launch.variables({**added, **of_launcher}, directory)
    of_runner = of_the_runner(environment)
    places = {
        "the directory for temporary files": str(file),
        "the Python interpreter": sys.executable,
        "the working directory": os.getcwd(),  # from which DeepSpeed has the others start
    }
    require_kept(of_runner, places, launcher)
    write_private(file, file_for(environment))
    agent = ["--module", AGENT]
    if launcher in _FILES_ONLY:
        found = find_spec(AGENT)
        assert found is not None and found.origin is not None
        agent = [found.origin]
    meeting = _bound(address)
    port = meeting.getsockname()[1]
    options = [f"--hostfile={hostfile}", f"--launcher={launcher}", f"--master_addr={address}"]
    options += [f"--master_port={port}", "--no_ssh_check", "--no_local_rank", "--log_level=error"]
    if launcher == "slurm":  # DeepSpeed chooses no hosts for it
        names = ",".join(host.address for host in used)
        options.append(f"--launcher_args=--nodelist={names} --nodes={len(used)} --ntasks-per-node={used[0].slots}")
    runner = [PARENT_DEATH, launch.parent, "deepspeed.launcher.runner"]
    command = [*launch.interpreter(directory), "-m", *runner, *options, *agent, *arguments, f"tcp://{address}:{port}"]
    return command, of_runner, meeting


def require_first_host(hosts: Hosts) -> None:
    """Raise UserError if the first host is not this machine."""
    _bound(_address_of(hosts.hosts[0].address)).close()


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


def handed_on(environment: Mapping[str, str]) -> HandedOn:
    """What is handed on to other hosts of an environment."""
    read = [name for name in sorted(environment) if name.startswith(_PREFIXES) and not SECRET_NAME.search(name)]
    variables = {name: environment[name] for name in read if name not in _OF_A_HOST}
    visible = environment.get(VISIBLE_DEVICES)
    return HandedOn(variables=variables, first_host=os.uname().nodename, visible_devices=visible)


def file_for(environment: Mapping[str, str]) -> str:
    """What DeepSpeed is to hand on, in the form of its ``.deepspeed_env``."""
    names = [name for name in _AS_IT_IS if name in environment and not name.startswith(_BY_DEEPSPEED)]
    plain = {name: environment[name] for name in names}
    return "".join(f"{name}={value}\n" for name, value in {**plain, HANDED_ON: handed_on(environment).encode()}.items())


def of_the_runner(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of DeepSpeed's runner, without what it would hand on besides, passwords of MLflow among it."""
    by_itself = {name for name in environment if name.startswith(_BY_DEEPSPEED) and not _goes_as_it_is(name)}
    return {name: value for name, value in environment.items() if name not in by_itself}


def _goes_as_it_is(name: str) -> bool:
    return name in _AS_IT_IS or (name.startswith("MV2") and not SECRET_NAME.search(name))


def require_kept(environment: Mapping[str, str], places: Mapping[str, str], launcher: str) -> None:
    """Raise UserError if a launcher would change what it hands on as it is, or the paths that its command has."""
    kept = _KEPT.get(launcher, _KEPT_BY_MPI)

    def why(value: str) -> str:
        bad = next((character for character in value if not kept.match(character)), " ")
        return f"would not come to other hosts as it is, because of {bad!r}"

    for name, value in environment.items():
        if _goes_as_it_is(name) and not kept.match(value):
            raise UserError(
                f"--launcher {launcher}: the environment variable {name} has the value {value[:80]!r}, which "
                f"{why(value)}: change or unset it"
            )
    for what, path in places.items():
        if " " in path or not kept.match(path):
            raise UserError(f"--launcher {launcher}: {what}, {path[:80]!r}, {why(path)}: use a path without it")
