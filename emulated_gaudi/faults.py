"""What goes wrong in the emulation, set from outside the code under test: a JSON document that may change.

For instance, ten percent slower with graphs, and a device that throttles in one case:

    {"labels": {"model": "bloomz7b", "kvcache": true},
     "faults": [{"when": {"graphs": true}, "slower": 0.10},
                {"when": {"model": "bloomz7b"}, "throttle": "thermal"}]}

``when`` is compared with what the emulation sees itself (``graphs``, ``rank``, ``module``, ``synapse``,
``generation``) and with ``labels``, which whoever writes the document sets to what the emulation cannot see (the suite
sets LABELS). What is in neither does not match. All faults that match hold together: shares of slowness add up.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

Value = bool | int | float | str

SEEN = ("graphs", "rank", "module", "synapse", "generation")
"""What the emulation sees itself."""
LABELS = ("case", "model", "devices", "graphs", "kvcache", "dtype", "new_tokens", "scale", "weights")
"""What the suite sets; while a model is loaded, of these only the model's own."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that goes wrong when ``when`` holds."""

    when: dict[str, Value] = {}
    # Share of the time between two synchronisations that is added to it: 0.10 is ten percent slower.
    slower: float = 0.0
    # As ``slower``, drawn anew for every synchronisation: the absolute value of a normal deviate times this.
    noise: float = 0.0
    # What every operation takes on the device, at least: the host waits for it at the next synchronisation. Where that
    # is longer than the host takes, times follow from the number of operations, whatever else the machine does.
    operation_microseconds: float = 0.0
    throttle: Literal["none", "thermal", "power"] = "none"  # what pyhlml gives as the reason
    foreign_process: str = ""  # the name of a process that hl-smi shows on the device
    # These happen after this many operations of the process, once, or every so many of them.
    after_operations: int = 1
    repeat: bool = False
    crash: bool = False
    hang: bool = False
    out_of_memory: bool = False
    compilations: int = 0
    cpu_fallbacks: int = 0
    recipe_cache_misses: int = 0
    defragmentations: int = 0

    def __post_init__(self) -> None:
        """Refuses what would silently do nothing or run backwards."""
        if self.slower < 0 or self.noise < 0:
            raise ValueError("slower and noise are shares of at least 0")
        if self.operation_microseconds < 0:
            raise ValueError("operation_microseconds is at least 0")
        if self.after_operations < 1:
            raise ValueError("after_operations is at least 1")


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole document."""

    faults: list[Fault] = []
    labels: dict[str, Value] = {}

    def matching(self, **seen: Value) -> list[Fault]:
        """The faults whose ``when`` holds; what is seen goes before a label of the same name."""
        known = {**self.labels, **seen}
        return [f for f in self.faults if all(key in known and known[key] == v for key, v in f.when.items())]


class FaultsError(ValueError):
    """The document is wrong; ``str(error)`` names the file and what is wrong with it."""


class Reader:
    """Reads the document again whenever it has changed."""

    def __init__(self, path: str | Path | None) -> None:
        self._path = Path(path) if path else None
        self._stamp: tuple[int, int, int] | None = None
        self.document = Faults()

    def refresh(self) -> bool:
        """Reads if the file has changed (or has come or gone).

        Returns:
            Whether ``document`` is new.

        Raises:
            FaultsError: the document is wrong.
        """
        if self._path is None:
            return False
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            stamp = None
        if stamp == self._stamp:
            return False
        self.document = read(self._path) if stamp else Faults()
        self._stamp = stamp  # only now: a document that is wrong is reported every time
        return True


def read(path: Path) -> Faults:
    """Reads and checks the document.

    Raises:
        FaultsError: it is wrong.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Faults)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:  # ValidationError is a DecodeError
        raise FaultsError(f"{path} is no document of faults for the emulated Gaudi: {str(error)[:400]!r}") from error


def set_faults(path: str | Path, *faults: Fault, labels: dict[str, Value] | None = None) -> None:
    """Replaces the document atomically; without faults the device works normally from now on.

    Args:
        path: the value of EMULATED_GAUDI_FAULTS.
        faults: what goes wrong.
        labels: what the emulation cannot see and ``when`` is compared with, too.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".faults-")
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(Faults(list(faults), dict(labels or {}))))
    os.replace(name, target)
