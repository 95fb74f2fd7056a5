"""What is handed on of this environment to other hosts, in a form that no shell and no launcher on the way changes.

DeepSpeed hands variables on as ``export NAME=VALUE;`` to ssh, as arguments to mpirun and as ``--export=NAME=VALUE,...``
to Slurm. Commas, spaces, quotes and newlines come out of that as something else, or as commands. So what the stacks
read goes as one variable of plain characters, which every rank agent takes apart. What Python needs to start, and
MVAPICH, goes as it is, or is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from gaudi_perf.protocol import HANDED_ON, MARK, VISIBLE_DEVICES, HandedOn
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.secrecy import SECRET_NAME

# What stacks read; never what may be a secret, for it stands in command lines.
_PREFIXES = (
    *("PT_", "HABANA_", "HLS_", "HCCL_", "NCCL_", "GLOO_", "CUDA_", "HF_", "OMP_", "MKL_", "KMP_", "TORCH"),
    *("LD_LIBRARY_PATH", "GAUDI_PERF_", "EMULATED_GAUDI_", "_GAUDI_PERF_", "TOKENIZERS_", "PATH", "PYTHON", "UCX_"),
)
_OF_A_HOST = (VISIBLE_DEVICES, HANDED_ON)  # DeepSpeed's launcher sets the first on every host
_AS_IT_IS = (MARK, "DS_ACCELERATOR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
_BY_DEEPSPEED = ("PYTHON", "MV2", "UCX", "MLFLOW")  # what its runner hands on by itself
_FOR_MVAPICH = "MV2"
_KEPT = {
    "pdsh": re.compile(r"[\w@+=:,./ -]*\Z"),  # a shell's word in double quotes, in which pdsh replaces %h, %n and %u
    "slurm": re.compile(r"[\w@%+=:./-]*\Z"),
}
_KEPT_BY_MPI = re.compile(r"[\w@%+=:,./-]*\Z")  # DeepSpeed puts quotes around others, and they stay


def is_handed_on(name: str) -> bool:
    """Whether a variable is handed on to other hosts."""
    return name.startswith(_PREFIXES) and not SECRET_NAME.search(name) and name not in _OF_A_HOST


def handed_on(environment: Mapping[str, str]) -> HandedOn:
    """What is handed on of an environment."""
    variables = {name: value for name, value in sorted(environment.items()) if is_handed_on(name)}
    return HandedOn(
        variables=variables, first_host=os.uname().nodename, visible_devices=environment.get(VISIBLE_DEVICES)
    )


def file_for(environment: Mapping[str, str]) -> str:
    """What DeepSpeed is to hand on, in the form of its ``.deepspeed_env``."""
    names = [name for name in _AS_IT_IS if name in environment and not name.startswith(_BY_DEEPSPEED)]
    plain = {name: environment[name] for name in names}
    return "".join(f"{name}={value}\n" for name, value in {**plain, HANDED_ON: handed_on(environment).encode()}.items())


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
