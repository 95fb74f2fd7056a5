"""The engines, one file each; this is where they are listed."""

from __future__ import annotations

from gaudi_perf.runtime.engines.base import Accelerator
from gaudi_perf.runtime.engines.cpu import CpuAccelerator
from gaudi_perf.vocabulary.errors import UserError

# In order of preference: `auto` takes the first that finds a device.
_ACCELERATORS: tuple[type[Accelerator], ...] = (CpuAccelerator,)


def accelerator_names() -> list[str]:
    """The names that ``--accelerator`` takes."""
    return ["auto", *(accelerator.name for accelerator in _ACCELERATORS)]


def accelerator_named(name: str) -> Accelerator:
    """The accelerator of that name; ``auto`` is the first one of which this machine has a device.

    Raises:
        UserError: there is none of that name.
    """
    for kind in _ACCELERATORS:
        accelerator = kind()
        if name == kind.name or (name == "auto" and accelerator.find() is not None):
            return accelerator
    raise UserError(f"unknown accelerator {name!r}: --accelerator takes {', '.join(accelerator_names())}")
