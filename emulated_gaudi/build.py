"""Compiles the emulated device once per source, torch, Python and compiler, into a cache. Does not import torch."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

MODULE = "emulated_gaudi_device"
SOURCES = Path(__file__).parent / "native"
CACHE_VARIABLE = "EMULATED_GAUDI_CACHE"


class BuildError(RuntimeError):
    """The emulated device cannot be compiled; ``str(error)`` is one sentence with the remedy."""


def cache_directory() -> Path:
    """Where compiled devices are kept: EMULATED_GAUDI_CACHE, or gaudi-perf/emulated-gaudi in the user's cache."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gaudi-perf" / "emulated-gaudi"


def compiler() -> str:
    """The C++ compiler: ``$CXX``, c++, g++ or clang++.

    Raises:
        BuildError: there is none.
    """
    own = os.environ.get("CXX")
    for name in [own] if own else ["c++", "g++", "clang++"]:
        if found := shutil.which(name):
            return found
    missing = (
        f"CXX names {own}, which is not on PATH" if own else "there is no C++ compiler (c++, g++ or clang++) on PATH"
    )
    raise BuildError(f"The emulated Gaudi has to be compiled once, but {missing}: install one, for instance g++.")


def build(cache: Path | None = None) -> Path:
    """Compiles the device if that has not been done before; safe to call from many processes at once.

    Takes about a minute the first time on a slow core, milliseconds after.

    Args:
        cache: where to look and where to put it; ``cache_directory()`` if not given.

    Returns:
        The shared library.

    Raises:
        BuildError: no compiler, no torch, or the compiler failed.
    """
    torch = _torch_directory()
    directory = cache or cache_directory()
    library = directory / f"{MODULE}-{_key()}.so"
    if library.exists():
        return library
    command = _command(compiler(), torch)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / "lock"):
            if not library.exists():
                _compile(command, library)
    except OSError as error:
        raise BuildError(
            f"The emulated Gaudi cannot be compiled into {directory} ({error}): "
            f"make it writable or set {CACHE_VARIABLE}."
        ) from error
    return library


def _torch_directory() -> Path:
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        raise BuildError("The emulated Gaudi needs PyTorch, which this Python does not have: install torch.")
    return Path(next(iter(found.submodule_search_locations)))


def _key() -> str:
    digest = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    digest.update(f"{importlib.metadata.version('torch')} {sys.version} {os.environ.get('CXX', '')}".encode())
    return digest.hexdigest()[:16]


def _command(cxx: str, torch: Path) -> list[str]:
    include, lib = torch / "include", torch / "lib"
    # Wheels of torch before 2.6 were built with the old std::string; its mangled names show it.
    modern = b"NSt7__cxx1112basic_string" in (lib / "libc10.so").read_bytes()
    includes = [include, include / "torch" / "csrc" / "api" / "include", Path(sysconfig.get_paths()["include"])]
    return [
        *[cxx, "-O1", "-std=c++20", "-fPIC", "-shared", "-w", f"-D_GLIBCXX_USE_CXX11_ABI={int(modern)}"],
        *[f"-DTORCH_EXTENSION_NAME={MODULE}", *(f"-isystem{path}" for path in includes)],
        *[str(SOURCES / "module.cpp"), f"-L{lib}", "-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"],
    ]


def _compile(command: list[str], library: Path) -> None:
    handle, name = tempfile.mkstemp(dir=library.parent, prefix=f"{MODULE}-", suffix=".tmp")
    os.close(handle)
    try:
        done = subprocess.run([*command, "-o", name], capture_output=True, text=True)
        if done.returncode != 0:
            log = library.with_suffix(".log")
            log.write_text(done.stdout + done.stderr)
            raise BuildError(
                f"{command[0]} could not compile the emulated Gaudi for torch {importlib.metadata.version('torch')}; "
                f"its messages are in {log}."
            )
        os.chmod(name, 0o755)
        os.replace(name, library)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Compiles from the command line; prints the library's path."""
    try:
        print(build())
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
