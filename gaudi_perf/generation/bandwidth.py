"""The memory bandwidth of a device, measured: what the memory's limit of a generation follows from."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

LARGEST = 1 << 30
"""Bytes; beyond every cache, and read in a fraction of a millisecond by a GPU, of a second by a host."""
_SMALLEST = 1 << 20
_SECONDS = 0.1
_STRETCH_S = 0.004


def measured_bandwidth(device: str, weight_bytes: int, synchronize: Callable[[], None]) -> float:
    """Bytes a second, the most that was seen of three ways to stream a block; ``synchronize`` waits for the device.

    The block is as large as the weights, so that small models are compared with the cache that holds them, not with the
    memory behind it: the sum of the block, a copy of one half to the other (bytes read and written), and the triad
    a = b + s c of the STREAM benchmark (McCalpin 1995) on three thirds.
    """
    count = max(_SMALLEST, min(weight_bytes, LARGEST)) // 4
    block = torch.ones(count - count % 6, dtype=torch.float32, device=device)
    source, target = block.chunk(2)
    a, b, c = block.chunk(3)
    # Bytes that each way moves: the sum reads, the copy reads half and writes half, the triad touches every third.
    ways: tuple[Callable[[], object], ...] = (
        lambda: block.sum(),
        lambda: target.copy_(source),
        lambda: torch.add(b, c, alpha=0.5, out=a),
    )
    return int(block.nbytes) / min(_fastest(way, synchronize) for way in ways)


def _fastest(way: Callable[[], object], synchronize: Callable[[], None]) -> float:
    """The shortest duration that was seen, in seconds: whatever disturbs only adds time."""

    def duration(calls: int) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            way()
        synchronize()
        return (time.perf_counter() - begin) / calls

    duration(1)
    calls = max(1, int(_STRETCH_S / duration(1)))  # enough that waiting for the device counts for little
    end, fastest = time.perf_counter() + _SECONDS, duration(calls)
    while time.perf_counter() < end:
        fastest = min(fastest, duration(calls))
    return fastest
