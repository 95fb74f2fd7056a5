"""The engines, one file each; this is where they are listed."""

from __future__ import annotations

from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.accelerators.cpu.engine import CpuAccelerator
from gaudi_perf.accelerators.cuda.engine import CudaAccelerator
from gaudi_perf.accelerators.hpu.emulated import EmulatedGaudi, Emulation
from gaudi_perf.accelerators.hpu.engine import HpuAccelerator
from gaudi_perf.vocabulary.errors import UserError


def accelerators(emulation: Emulation | None = None, processes: int = 1) -> list[Accelerator]:
    """Every accelerator, in order of preference.

    Args:
        emulation: what the emulated Gaudis pretend.
        processes: how many ranks may share the CPU, as if each had a device.
    """
    pretended = emulation or Emulation()
    return [
        HpuAccelerator(),
        CudaAccelerator(),
        CpuAccelerator(processes),
        EmulatedGaudi("gaudi", pretended),
        EmulatedGaudi("gaudi2", pretended),
        EmulatedGaudi("gaudi3", pretended),
    ]


def accelerator_names() -> list[str]:
    """The names that ``--accelerator`` takes."""
    return ["auto", *(accelerator.name for accelerator in accelerators())]


def accelerator_named(name: str, emulation: Emulation | None = None, processes: int = 1) -> Accelerator:
    """The accelerator of that name; ``auto`` is the first real one of which this machine has a device.

    Raises:
        UserError: there is none of that name.
    """
    for accelerator in accelerators(emulation, processes):
        if name == accelerator.name or (name == "auto" and accelerator.automatic and accelerator.find() is not None):
            return accelerator
    raise UserError(f"unknown accelerator {name!r}: --accelerator takes {', '.join(accelerator_names())}")
