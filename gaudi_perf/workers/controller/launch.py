"""The interpreter of a stack and its environment: this one, another one, or one in a container, by a command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gaudi_perf
from gaudi_perf.stores.files import read_bytes
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stacks import decode_stacks

WORKER, RANK, AGENT, PARENT_DEATH = (
    f"gaudi_perf.workers.rank.{name}" for name in ("worker", "rank", "agent", "parent_death")
)
"""The modules that are started in processes of a group."""
_OF_THIS_INTERPRETER = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True)
class Launch:
    """How the workers of a stack are started; without a name, by this interpreter.

    Attributes:
        program: words that run its Python interpreter.
        environment: variables that the stack adds; nobody else gets them.
        own: whether it is this interpreter, with this environment.
        container: whether ``program`` is a command that may hide the worker's process, files and environment.
    """

    name: str = ""
    program: tuple[str, ...] = (sys.executable,)
    environment: Mapping[str, str] = field(default_factory=dict)
    own: bool = True
    container: bool = False

    def command(self, directory: Path) -> list[str]:
        """The words that start a worker of the group with this private directory."""
        words = ["-m", WORKER, "--socket", str(directory / "socket"), "--parent", self.parent]
        return [*self.interpreter(directory), *words]

    def interpreter(self, directory: Path) -> list[str]:
        """The words that run the stack's interpreter, for a group with this private directory."""
        return [
            word.replace("{directory}", str(directory)).replace("{environment}", str(directory / "environment"))
            for word in self.program
        ]

    @property
    def parent(self) -> str:
        """The process with which a worker is to end, this one: none, 0, where a command may put others between."""
        return "0" if self.container else str(os.getpid())

    def variables(self, accelerator: Mapping[str, str], directory: Path) -> dict[str, str]:
        """The environment of a worker with what the accelerator adds; writes into its group's private directory.

        Another interpreter gets the suite that runs here, and nothing else that is installed here.
        """
        added = {**accelerator, **self.environment}
        if self.own:
            return {**os.environ, **added}
        if self.container:
            write_private(directory / "environment", "".join(f"{name}={added[name]}\n" for name in sorted(added)))
        else:
            # A directory with this suite's package alone:
            suite = directory / "suite"
            suite.mkdir(mode=0o700, exist_ok=True)
            if not (suite / "gaudi_perf").is_symlink():
                (suite / "gaudi_perf").symlink_to(Path(gaudi_perf.__file__).parent, target_is_directory=True)
            # The accelerator's is needed as well as the stack's: the emulated Gaudi has one.
            paths = [str(suite), self.environment.get("PYTHONPATH"), accelerator.get("PYTHONPATH")]
            added["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
            if "PATH" not in self.environment:  # as if its virtual environment were active
                before = added.get("PATH", os.environ.get("PATH", os.defpath))
                added["PATH"] = os.pathsep.join([str(Path(self.program[0]).parent), before])
        inherited = {name: value for name, value in os.environ.items() if name not in _OF_THIS_INTERPRETER}
        return {**inherited, **added}


def stack_launch(name: str, file: Path, option: str) -> Launch:
    """How the workers of the stack that a file lists are started; ``option`` named it.
    Raises UserError if the file is missing or malformed, does not list the stack, or its program is not there.
    """
    try:
        data = read_bytes(file)
    except UserError as error:
        raise UserError(
            f"{option} {name}: the file of stacks: {error}: write it, or name another with --stacks"
        ) from None
    entries = {entry.name: entry for entry in decode_stacks(data, str(file)).stack}
    if name not in entries:
        raise UserError(f"{option} {name}: {file} lists no such stack; it lists {', '.join(sorted(entries))}")
    entry = entries[name]
    if entry.command is not None:
        found = shutil.which(entry.command[0])
        if found is None:
            raise UserError(f"{file}: stack {name!r}: command: there is no program {entry.command[0][:200]!r}")
        return Launch(name, (found, *entry.command[1:]), entry.environment, own=False, container=True)
    assert entry.python is not None
    # Not resolved: a virtual environment is found by the path of its interpreter, which is a link.
    path = Path(os.path.abspath(file.parent / Path(entry.python).expanduser()))
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):  # no error of a name that is too long
        raise UserError(
            f"{file}: stack {name!r}: python: {str(path)[:400]} is no program: write the path of an interpreter"
        )
    return Launch(name, (str(path),), entry.environment, own=False)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text)
