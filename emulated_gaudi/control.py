"""The controller's side of the emulation: what a worker must find in its environment. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import msgspec

from emulated_gaudi.build import build
from emulated_gaudi.faults import Fault, Faults, FaultsError, set_faults
from emulated_gaudi.settings import FAULTS_VARIABLE, PRODUCTS, SETTINGS_VARIABLE, Generation, Settings

__all__ = ["Fault", "Faults", "FaultsError", "build", "environment", "set_faults"]

_PACKAGE = Path(__file__).parent
_METADATA = """\
Metadata-Version: 2.1
Name: habana-torch-plugin
Version: {version}
Summary: EMULATED: a stand-in for tests, not Habana's package
"""
_ENTRY_POINTS = """\
[torch.backends]
device_backend = habana_frameworks.autoload:__autoload
"""


def environment(
    generation: Generation = "gaudi2",
    devices: int = 8,
    memory_bytes: int | None = None,
    synapse: str = "1.24.0",
    *,
    directory: str | Path,
    driver: str | None = None,
) -> dict[str, str]:
    """Prepares an emulated server and returns the variables with which a process finds itself on it.

    To be laid over the process's own environment; PATH and PYTHONPATH go before those of this process. What the code
    under test sets itself (PT_HPU_LAZY_MODE and the like) is not among them. ``build()`` beforehand, or the first
    worker spends a minute compiling.

    Args:
        generation: which Gaudi.
        devices: how many, 1 to 8.
        memory_bytes: memory of each device; the generation's own if not given.
        synapse: the SynapseAI release, three numbers, for instance "1.23.0".
        directory: a private directory of the emulated server (made if it is not there), shared by its processes.
        driver: what the kernel driver calls itself; a driver of the same release if not given.

    Returns:
        PATH, PYTHONPATH, EMULATED_GAUDI_SETTINGS and EMULATED_GAUDI_FAULTS (a file that need not exist).

    Raises:
        ValueError: an argument is out of range.
    """
    if generation not in PRODUCTS:
        raise ValueError(f"There is no emulated {generation!r}: use one of {', '.join(PRODUCTS)}.")
    if not 1 <= devices <= 8:
        raise ValueError(f"An emulated server has 1 to 8 devices, not {devices}.")
    if memory_bytes is not None and memory_bytes <= 0:
        raise ValueError(f"A device needs memory: memory_bytes is {memory_bytes}.")
    if not re.fullmatch(r"\d+\.\d+\.\d+", synapse):
        raise ValueError(f"A SynapseAI release is three numbers such as 1.24.0, not {synapse!r}.")
    home = Path(directory).resolve()
    settings = Settings(
        generation=generation,
        devices=devices,
        memory_bytes=memory_bytes or PRODUCTS[generation].memory_bytes,
        synapse=synapse,
        driver=driver or f"{synapse}-emulated",
        directory=str(home),
    )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.processes_directory.mkdir(mode=0o700, exist_ok=True)
    document = home / "settings.json"
    document.write_bytes(msgspec.json.encode(settings))
    library = _library(home, settings)
    _hl_smi(home / "bin", document)
    # optimum-habana finds the plug-in's version with `pip list`: the pip of this Python must come first.
    scripts = Path(sys.executable).parent
    path = [str(home / "bin"), *([str(scripts)] if (scripts / "pip").exists() else []), os.environ.get("PATH", "")]
    python_path = [str(library), str(_PACKAGE / "site"), os.environ.get("PYTHONPATH", "")]
    return {
        "PATH": os.pathsep.join(p for p in path if p),
        "PYTHONPATH": os.pathsep.join(p for p in python_path if p),
        SETTINGS_VARIABLE: str(document),
        FAULTS_VARIABLE: str(home / "faults.json"),
    }


def _library(home: Path, settings: Settings) -> Path:
    """A directory for PYTHONPATH: this package, and the plug-in's metadata as importlib.metadata and pip read them."""
    library = home / "lib"
    library.mkdir(exist_ok=True)
    metadata = library / f"habana_torch_plugin-{settings.plugin_version}.dist-info"
    for stale in library.glob("habana_torch_plugin-*.dist-info"):
        if stale != metadata:  # the server was of another release before
            shutil.rmtree(stale, ignore_errors=True)
    with contextlib.suppress(FileExistsError):
        (library / _PACKAGE.name).symlink_to(_PACKAGE, target_is_directory=True)
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(_METADATA.format(version=settings.plugin_version))
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)
    (metadata / "INSTALLER").write_text("emulated-gaudi\n")
    (metadata / "RECORD").write_text("")
    return library


def _hl_smi(programs: Path, settings: Path) -> None:
    programs.mkdir(exist_ok=True)
    program = programs / "hl-smi"
    words = [sys.executable, str(_PACKAGE / "hl_smi.py"), str(settings)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    program.chmod(0o755)
