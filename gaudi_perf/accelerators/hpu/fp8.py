"""FP8 on Gaudi through neural-compressor-pt, in its two steps: measure the largest magnitudes with calibration prompts,
then quantize. Measurements are kept in the user's cache directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from gaudi_perf.generation.compilations import user_cache
from gaudi_perf.protocol import MARK, GroupSpec
from gaudi_perf.vocabulary.documents import object_of, sentence
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import FP8, Dtype

CONFIG_VARIABLE = "GAUDI_PERF_FP8_CONFIG"
"""A file with settings of neural-compressor-pt that go before the suite's, as ``--fp8-config`` names one."""
LIBRARY = "neural-compressor-pt"
_OURS = ("mode", "dump_stats_path")
_FAMILIES = "families"
_MOST_BYTES = 1 << 20
_NAME = "measured"


def settings_for(dtype: Dtype, family: str, file: str = "") -> dict[str, Any]:
    """The settings of neural-compressor-pt: those of fp8.json for the type and the family, and of the user's file.
    Raises UserError if the file cannot be read, or is no such thing.
    """
    found: dict[str, Any] = {}
    for settings in (json.loads((files(__package__) / "fp8.json").read_text())[dtype], _from_file(file)):
        of_families = settings.pop(_FAMILIES, {})
        found |= settings | of_families.get(family, {})
    return found


def _from_file(name: str) -> dict[str, Any]:
    if not name:
        return {}
    source = f"--fp8-config {name}"
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        found = json.loads(data, object_pairs_hook=object_of) if len(data) <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{source}: cannot be read ({str(error)[:200]}): it takes a JSON file") from None
    if not isinstance(found, dict):
        raise UserError(f"{source}: it takes a JSON object of settings, of at most 1 MiB")
    of_families = found.get(_FAMILIES, {})
    if not isinstance(of_families, dict) or not all(isinstance(one, dict) for one in of_families.values()):
        raise UserError(
            f"{source}: {_FAMILIES!r} takes an object of settings for each family, as {{'mixtral': {{...}}}}"
        )
    for key in _OURS:
        if any(key in settings for settings in (found, *of_families.values())):
            raise UserError(f"{source}: leave {key!r} out: the suite sets it")
    return found


def digest(value: object) -> str:
    """Eight digits of the SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


class Quantizer:
    """Measures and quantizes a model, or this rank's part of it."""

    def __init__(self, group: GroupSpec, software: Mapping[str, str], rank: int) -> None:
        """``software``: names and versions of all that a measurement depends on, beside the model."""
        assert group.dtype in FP8
        self.settings = settings_for(group.dtype, group.built.family, os.environ.get(CONFIG_VARIABLE, ""))
        made_of = [group.model, group.built.digest, group.weights.kind, group.weights.path, group.scale, group.devices]
        made_of += [group.gaudi_options.words] if group.gaudi_options.on else []
        key = digest([made_of, dict(software), self.settings])
        private = Path(os.environ.get(MARK, "."))  # of this group alone: neural-compressor-pt reads pickles
        self._cached = user_cache(private) / "fp8" / f"{group.model}-{key}-rank{rank}"
        self.fingerprint = ""

    @property
    def measured(self) -> bool:
        """Whether there is a measurement of this model with this software, which nobody else can have written."""
        return _own(self._cached.parent) and _own(self._cached) and any(self._cached.glob(f"{_NAME}*"))

    def quantize(
        self, model: Any, calibrate: Callable[[], None], measure: bool, made: Callable[[], Any] | None = None
    ) -> Any:
        """The model in FP8; ``calibrate`` has it generate after the calibration prompts.

        ``made``: makes the model anew once it is measured. What is measured is else quantized itself, which neural-
        compressor-pt 3.10 does wrongly for KV caches: they go on measuring.
        Raises UserError if neural-compressor-pt is not installed, or refuses the settings.
        """
        try:
            from neural_compressor.torch.quantization import FP8Config, convert, finalize_calibration, prepare
        except ImportError as error:
            raise UserError(f"FP8 on Gaudi needs {LIBRARY} ({error}): {REMEDY}") from None
        with _private_directory() as work:
            path = str(work / _NAME)
            try:
                if measure:
                    model = prepare(model, FP8Config(mode="MEASURE", dump_stats_path=path, **self.settings))
                    calibrate()
                    finalize_calibration(model)
                    self._keep(work)
                    model = model if made is None else made()
                else:
                    shutil.copytree(self._cached, work, dirs_exist_ok=True)
                self.fingerprint = digest([one.read_text() for one in sorted(work.glob(f"{_NAME}*.json"))])
                return convert(model, FP8Config(mode="QUANTIZE", dump_stats_path=path, **self.settings))
            except (ValueError, TypeError, KeyError, AssertionError) as error:
                raise UserError(
                    f"{LIBRARY} cannot quantize this model ({sentence(error)}): try other settings by --fp8-config"
                ) from error

    def _keep(self, work: Path) -> None:
        """Keep a measurement, all of it or nothing; a cache that cannot be written is none."""
        with suppress(OSError):
            self._cached.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._cached.parent) as made:
                whole = Path(made, "whole")
                whole.mkdir(mode=0o700)
                for file in work.glob(f"{_NAME}*"):
                    shutil.copy2(file, whole)
                whole.rename(self._cached)


def _own(directory: Path) -> bool:
    """Whether it is a directory of this user, that no other can write to."""
    with suppress(OSError):
        found = directory.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return False


REMEDY = 'pip install -e ".[fp8]" (Python 3.11), or run in the vendor\'s container'


@contextmanager
def _private_directory() -> Iterator[Path]:
    """A directory in which neural-compressor-pt leaves its files, those that it makes by tempfile, too."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as work:
        tempfile.tempdir = work
        try:
            yield Path(work)
        finally:
            tempfile.tempdir = before
