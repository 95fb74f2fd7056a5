"""The emulated Gaudi as an accelerator: the Gaudi's engine, line for line, on host memory.

The emulation belongs to the project's repository and is not installed with the suite.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gaudi_perf.accelerators.base import Finding, Found
from gaudi_perf.accelerators.cpu.stack import compiler
from gaudi_perf.accelerators.host import installed
from gaudi_perf.accelerators.hpu.accelerator import HpuAccelerator
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError

if TYPE_CHECKING:
    from emulated_gaudi.settings import Generation

DEVICES = 8
SYNAPSE_VARIABLE = "GAUDI_PERF_EMULATED_SYNAPSE"
"""In a stack's environment: the release that the stack pretends to be, as the variable of the option in a session's."""


class EmulatedGaudi(HpuAccelerator):
    """A server with Gaudis of the first generation."""

    name = "emulated-gaudi"
    generation: ClassVar[Generation] = "gaudi"
    default_scale = "standin"
    preference = 0
    emulated = True
    _faults: Path | None = None

    # Seen with 1.21: "found at least two devices, hpu:0 and cpu", and an index of one past the mask's end.
    no_search = "optimum-habana's own beam and contrastive search do not run on an emulated Gaudi"

    def find(self) -> Found:
        """A pretended server has eight devices, whose memory is the host's."""
        return Found(self.name, DEVICES)

    def health(self) -> Iterator[Finding]:
        yield Finding("devices", "ok", f"{DEVICES} x {self.name}; its times say nothing about a Gaudi")
        yield Finding.present("PyTorch", installed("torch"), "pip install -e .")
        missing = "none, so the emulated device cannot be built"
        yield Finding.present("C++ compiler", compiler(), "apt install g++, or set CXX", missing)
        yield Finding.present("optimum-habana", installed("optimum-habana"), 'pip install -e ".[hpu]"')

    def of_stack(self, environment: Mapping[str, str]) -> EmulatedGaudi:
        pretending = copy(self)
        pretending.emulation = replace(
            self.emulation, synapse=environment.get(SYNAPSE_VARIABLE, self.emulation.synapse)
        )
        return pretending

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """A pretended server in the group's private directory, and what the Gaudi's engine wants."""
        try:
            from emulated_gaudi.control import build, environment
        except ImportError:
            raise UserError(
                f"--accelerator {self.name}: the emulated Gaudi is not installed with the suite: run pytest in a clone "
                "of the project, or with the clone in PYTHONPATH"
            ) from None
        try:
            pretended = environment(self.generation, DEVICES, synapse=self.emulation.synapse, directory=directory)
            build()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"--accelerator {self.name}: {error}") from None
        self._faults = Path(pretended["EMULATED_GAUDI_FAULTS"])
        self._set_faults(
            model=group.model, devices=group.devices, dtype=group.dtype, scale=group.scale, weights=group.weights.label
        )
        threads = os.environ.get("OMP_NUM_THREADS") or "1"
        # The stub of torchvision and the metadata must not shadow what another process of the session imports.
        return {**super().environment(group, directory), **pretended, "OMP_NUM_THREADS": threads}

    def announce(self, case: Case) -> None:
        """Faults may ask for what the emulation cannot see; UserError if the file of faults is not one."""
        configuration, workload = case.configuration, case.workload
        self._set_faults(
            case=case.id,
            model=configuration.model,
            devices=configuration.devices,
            graphs=configuration.graphs,
            kvcache=configuration.kv_cache,
            dtype=workload.dtype,
            new_tokens=workload.new_tokens,
            scale=case.scale,
            weights=case.weights,
        )

    def _set_faults(self, **labels: bool | int | float | str) -> None:
        if self.emulation.faults is None or self._faults is None:
            return
        from emulated_gaudi.faults import LABELS, SEEN, FaultsError, read, set_faults

        try:
            faults = read(self.emulation.faults).faults
        except (OSError, FaultsError) as error:
            raise UserError(f"--emulated-faults: {error}") from None
        known = {*LABELS, *SEEN}
        unknown = next((key for fault in faults for key in fault.when if key not in known), None)
        if unknown is not None:
            raise UserError(
                f"--emulated-faults: {self.emulation.faults}: `when` asks for {unknown!r}, by which nothing is known: "
                f"use {', '.join(sorted(known))}"
            )
        set_faults(self._faults, *faults, labels=labels)


class EmulatedGaudi2(EmulatedGaudi):
    """A server with Gaudi 2."""

    name = "emulated-gaudi2"
    generation = "gaudi2"


class EmulatedGaudi3(EmulatedGaudi):
    """A server with Gaudi 3."""

    name = "emulated-gaudi3"
    generation = "gaudi3"
