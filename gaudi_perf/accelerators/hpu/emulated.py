"""The emulated Gaudi as an accelerator: the Gaudi's engine, line for line, on host memory.

The emulation belongs to the project's repository and is not installed with the suite.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gaudi_perf.accelerators.base import Found
from gaudi_perf.accelerators.hpu.engine import HpuAccelerator
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError

if TYPE_CHECKING:
    from emulated_gaudi.settings import Generation

PREFIX = "emulated-"
DEVICES = 8
SYNAPSE_VARIABLE = "GAUDI_PERF_EMULATED_SYNAPSE"
"""In a stack's environment: the release that the stack pretends to be, as the variable of the option in a session's."""


@dataclass(frozen=True)
class Emulation:
    """What the emulated Gaudi pretends, and what goes wrong with it.

    Attributes:
        synapse: the SynapseAI release.
        faults: a file of told faults (docs/emulated_gaudi.md), or None.
    """

    synapse: str = "1.24.0"
    faults: Path | None = None


class EmulatedGaudi(HpuAccelerator):
    """The controller's side."""

    default_scale = "standin"
    automatic = False

    def __init__(self, generation: Generation, emulation: Emulation) -> None:
        self.name = f"{PREFIX}{generation}"
        self._generation = generation
        self._emulation = emulation
        self._told: Path | None = None

    def find(self) -> Found:
        """A pretended server has eight devices, whose memory is the host's."""
        return Found(name=self.name, count=DEVICES)

    def of_stack(self, environment: Mapping[str, str]) -> EmulatedGaudi:
        """Another release, where the stack names one."""
        synapse = environment.get(SYNAPSE_VARIABLE, self._emulation.synapse)
        return EmulatedGaudi(self._generation, replace(self._emulation, synapse=synapse))

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """A pretended server in the group's private directory, and what the Gaudi's engine wants.

        Raises:
            UserError: the emulation is not there, cannot be built, or does not know the release.
        """
        try:
            from emulated_gaudi.control import build, environment
        except ImportError:
            raise UserError(
                f"--accelerator {self.name}: the emulated Gaudi is not installed with the suite: run pytest in a clone "
                "of the project"
            ) from None
        try:
            build()
            pretended = environment(self._generation, DEVICES, synapse=self._emulation.synapse, directory=directory)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"--accelerator {self.name}: {error}") from None
        self._told = Path(pretended["EMULATED_GAUDI_TOLD"])
        self._tell(
            {
                "model": group.model,
                "devices": group.devices,
                "dtype": group.dtype,
                "scale": group.scale,
                "weights": group.weights.label,
            }
        )
        threads = os.environ.get("OMP_NUM_THREADS") or str(group.threads or 1)
        # The stub of torchvision and the metadata must not shadow what another process of the session imports.
        return {**super().environment(group, directory), **pretended, "OMP_NUM_THREADS": threads}

    def announce(self, case: Case) -> None:
        """Tell the emulation which case comes, since faults may ask for what it cannot see.

        Raises:
            UserError: the file of faults is not one.
        """
        configuration, workload = case.configuration, case.workload
        self._tell(
            {
                "case": case.id,
                "model": configuration.model,
                "devices": configuration.devices,
                "graphs": configuration.graphs,
                "kvcache": configuration.kv_cache,
                "dtype": workload.dtype,
                "new_tokens": workload.new_tokens,
                "scale": case.scale,
                "weights": case.weights,
            }
        )

    def _tell(self, labels: dict[str, bool | int | float | str]) -> None:
        if self._emulation.faults is None or self._told is None:
            return
        from emulated_gaudi.told import LABELS, SEEN, ToldError, read, tell

        try:
            told = read(self._emulation.faults)
        except (OSError, ToldError) as error:
            raise UserError(f"--emulated-faults: {error}") from None
        known = sorted({*LABELS, *SEEN})
        for key in (key for fault in told.faults for key in fault.when):
            if key not in known:
                raise UserError(
                    f"--emulated-faults: {self._emulation.faults}: `when` asks for {key!r}, by which nothing is known: "
                    f"use {', '.join(known)}"
                )
        tell(self._told, *told.faults, labels=labels)
