"""What other hosts are told of this environment, in a form that no shell and no launcher on the way changes.

DeepSpeed hands variables on as ``export NAME=VALUE;`` to ssh, as arguments to mpirun and as ``--export=NAME=VALUE,...``
to Slurm. Commas, spaces, quotes and newlines come out of that as something else, or as commands. So what the stacks
read goes as one variable of plain characters, which every keeper takes apart. What Python needs to start, and MVAPICH,
goes as it is, or is refused.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from collections.abc import Mapping, MutableMapping

from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.secrecy import SECRET_NAME
from gaudi_perf.workers.processes import MARK

VISIBLE, KEPT = "CUDA_VISIBLE_DEVICES", "_GAUDI_PERF_CUDA_VISIBLE_DEVICES"
"""DeepSpeed's launcher numbers the devices of a host anew, from 0, for every accelerator; keepers undo that."""
HANDED_ON = "_GAUDI_PERF_HANDED_ON"
"""The variable with all others in it."""
_FIRST_HOST = "_GAUDI_PERF_FIRST_HOST"
"""The name of the host whose shown devices were handed on."""

# What stacks read; never what may be a secret, for it stands in command lines.
_PREFIXES = (
    *("PT_", "HABANA_", "HLS_", "HCCL_", "NCCL_", "GLOO_", "CUDA_", "HF_", "OMP_", "MKL_", "KMP_", "TORCH"),
    *("LD_LIBRARY_PATH", "GAUDI_PERF_", "EMULATED_GAUDI_", "_GAUDI_PERF_", "TOKENIZERS_", "PATH", "PYTHON", "UCX_"),
)
_OF_A_HOST = (VISIBLE, HANDED_ON)  # DeepSpeed's launcher sets the first on every host
_AS_IT_IS = (MARK, "DS_ACCELERATOR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
_BY_DEEPSPEED = ("PYTHON", "MV2", "UCX", "MLFLOW")  # what its runner hands on by itself
_FOR_MVAPICH = "MV2"
_KEPT = {
    "pdsh": re.compile(r"[\w@+=:,./ -]*\Z"),  # a shell's word in double quotes, in which pdsh replaces %h, %n and %u
    "slurm": re.compile(r"[\w@%+=:./-]*\Z"),
}
_KEPT_BY_MPI = re.compile(r"[\w@%+=:,./-]*\Z")  # DeepSpeed puts quotes around others, and they stay


def is_handed_on(name: str) -> bool:
    """Whether other hosts are told of a variable."""
    return name.startswith(_PREFIXES) and not SECRET_NAME.search(name) and name not in _OF_A_HOST


def packed(environment: Mapping[str, str]) -> str:
    """What is handed on of an environment, as one value of letters, digits, ``-``, ``_`` and ``=``."""
    told = {name: value for name, value in sorted(environment.items()) if is_handed_on(name)}
    if VISIBLE in environment:  # what is shown here says nothing of other hosts
        told |= {KEPT: environment[VISIBLE], _FIRST_HOST: os.uname().nodename}
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(told).encode(), 9)).decode()


def unpacked(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that ``packed`` has put into an environment; none where nothing was handed on."""
    value = environment.get(HANDED_ON)
    told: dict[str, str] = {} if not value else json.loads(zlib.decompress(base64.urlsafe_b64decode(value)))
    return told


def show_devices(environment: MutableMapping[str, str]) -> None:
    """Undo in a keeper's environment that DeepSpeed's launcher counts devices from 0, where it is known what was shown.

    On a single host, and on the first of several; on others, slots are the first devices.
    """
    here = os.uname().nodename
    shown = environment.pop(KEPT, None)
    if shown is not None and environment.get(_FIRST_HOST, here) == here:
        environment[VISIBLE] = shown


def file_for(environment: Mapping[str, str]) -> str:
    """What DeepSpeed is to hand on, in the form of its ``.deepspeed_env``."""
    told = [name for name in _AS_IT_IS if name in environment and not name.startswith(_BY_DEEPSPEED)]
    plain = {name: environment[name] for name in told}
    return "".join(f"{name}={value}\n" for name, value in {**plain, HANDED_ON: packed(environment)}.items())


def of_the_runner(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of DeepSpeed's runner, without what it would hand on besides, passwords of MLflow among it."""
    return {
        name: value for name, value in environment.items() if not name.startswith(_BY_DEEPSPEED) or _goes_as_it_is(name)
    }


def _goes_as_it_is(name: str) -> bool:
    return name in _AS_IT_IS or (name.startswith(_FOR_MVAPICH) and not SECRET_NAME.search(name))


def require_kept(environment: Mapping[str, str], places: Mapping[str, str], launcher: str) -> None:
    """Make sure that what a launcher hands on as it is comes out as it went in.

    Args:
        environment: of DeepSpeed's runner.
        places: paths that stand in the command, by what they are.
        launcher: one of ``hosts.LAUNCHERS``.

    Raises:
        UserError: a launcher would change a value.
    """
    kept = _KEPT.get(launcher, _KEPT_BY_MPI)
    for name, value in environment.items():
        if _goes_as_it_is(name) and not kept.match(value):
            raise UserError(
                f"--launcher {launcher}: the environment variable {name} has the value {value[:80]!r}, which would not "
                f"come to other hosts as it is, because of {_first_bad(kept, value)!r}: change or unset it"
            )
    for what, path in places.items():
        if " " in path or not kept.match(path):
            raise UserError(
                f"--launcher {launcher}: {what}, {path[:80]!r}, would not come to other hosts as it is, because of "
                f"{_first_bad(kept, path)!r}: use a path without it"
            )


def _first_bad(kept: re.Pattern[str], value: str) -> str:
    return next((character for character in value if not kept.match(character)), " ")
