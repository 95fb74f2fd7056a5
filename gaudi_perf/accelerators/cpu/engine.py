"""The CPU's worker: ``eager`` is transformers' generate, ``graphs`` and ``compile`` are static shapes whose step
torch.compile compiles.
"""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress
from pathlib import Path

import psutil
import torch

from gaudi_perf.accelerators.cpu.stack import cpu_stack
from gaudi_perf.accelerators.host import text_of
from gaudi_perf.accelerators.torch_engine import Generation, TorchEngine
from gaudi_perf.generation.float8 import quantize, reference_product
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.stack import Device, Stack


class CpuEngine(TorchEngine):
    """Holds a model in the memory of the host."""

    def take_device(self) -> None:
        """With the threads that the controller chose."""
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def device(self) -> Device:
        return Device(name="cpu", accelerator="cpu", memory_bytes=psutil.virtual_memory().total, available=1)

    def stack(self) -> Stack:
        return cpu_stack()

    def static_generation(self, variant: Variant) -> Generation:
        """``graphs`` is ``compile``: a CPU captures nothing."""
        return self.compiled_generation(variant)

    def quantize(self, group: GroupSpec, sequences: list[list[int]]) -> None:
        """As the reference: products are summed up in float32, which is slow."""
        quantize(self._model, lambda: self.passes(sequences), reference_product)

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def reset_peak_memory(self) -> None:
        """Have the kernel forget this process's peak (Linux), where it lets us."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def peak_memory_bytes(self) -> int | None:
        """Peak resident memory of this process."""
        peak = re.search(r"^VmHWM:\s+(\d+) kB", text_of(Path("/proc/self/status")) or "", re.M)
        if peak is not None:
            return int(peak[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
