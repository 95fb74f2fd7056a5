"""A pretended H100 in the memory of the host: torch.cuda is pretended, CUDA graphs are tapes, nccl is gloo."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

SET: list[int] = []
"""The devices that were made the current one."""


class Event:
    """torch.cuda.Event by the host's clock; ``late`` is what the GPU's clock would add, in seconds."""

    late = 0.0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self._at = 0.0

    def record(self) -> None:
        self._at = time.perf_counter()

    def elapsed_time(self, other: Event) -> float:
        return (other._at - self._at + self.late) * 1000


def answers(devices: int = 1) -> dict[str, Any]:
    """What torch.cuda answers."""
    properties = SimpleNamespace(total_memory=85_000_000_000, major=9, minor=0, uuid="1234")
    return {
        "is_available": lambda: True,
        "get_device_name": lambda: "NVIDIA H100 80GB HBM3",
        "get_device_properties": lambda index: properties,
        "device_count": lambda: devices,
        "current_device": lambda: SET[-1] if SET else 0,
        "set_device": SET.append,
        "can_device_access_peer": lambda one, other: one != other,
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda: None,
        "max_memory_reserved": lambda: 123_456_789,
        "Event": Event,
    }


def pretend(set_attribute: Callable[[Any, str, Any], None], devices: int = 1) -> None:
    """Put it in place of the real one."""
    import torch

    from gaudi_perf.accelerators.cuda import capture
    from gaudi_perf.accelerators.cuda.engine import CudaEngine
    from tests.accelerators.tape import record

    for name, answer in answers(devices).items():
        set_attribute(torch.cuda, name, answer)
    set_attribute(torch.version, "cuda", "13.0")
    set_attribute(CudaEngine, "device_type", "cpu")
    set_attribute(capture, "cuda_graph", record)


def install() -> None:
    """In a rank, for good: as many GPUs as CUDA_VISIBLE_DEVICES shows."""
    from gaudi_perf.accelerators.cuda.accelerator import CudaAccelerator

    CudaAccelerator.backend = "gloo"
    os.environ["DS_ACCELERATOR"] = "cpu"
    pretend(setattr, len(os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")))
