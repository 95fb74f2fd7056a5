"""The worker's side: PyTorch on the host stands in for a device of its own."""

from __future__ import annotations

from gaudi_perf.accelerators.torch_engine import TorchEngine
from gaudi_perf.vocabulary.stack import Device, Stack


class MadeUpEngine(TorchEngine):
    def device(self) -> Device:
        return Device(name="made-up-1", accelerator="made-up", available=2)

    def stack(self) -> Stack:
        return Stack(kind="beads", version="1.5", components={"wood": "beech"})

    def synchronize(self) -> None: ...

    def reset_peak_memory(self) -> None: ...

    def peak_memory_bytes(self) -> int | None:
        return None
