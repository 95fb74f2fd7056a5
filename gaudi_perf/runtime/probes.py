"""The reference probe: a short fixed piece of work whose duration tells how fast the host is just now.

It does what the host does in a generation: interpreter work, dispatch of small operators, streaming through memory.
Rounds are bracketed by it, so that a comparison can tell a slower machine from slower software (a control variate).
"""

from __future__ import annotations

import time

import numpy as np

_INTERPRETER_STEPS = 4000
_SMALL_OPERATORS = 400
_STREAM_BYTES = 2 * 1024 * 1024


class HostProbe:
    """About 1 ms of fixed work on the host; its buffers are made once."""

    def __init__(self) -> None:
        self._small = np.ones(16, dtype=np.float32)
        self._result = np.empty_like(self._small)
        self._source = np.ones(_STREAM_BYTES // 4, dtype=np.float32)
        self._target = np.empty_like(self._source)

    def seconds(self) -> float:
        """Do the work once; its duration in seconds."""
        begin = time.perf_counter()
        total = 0
        for step in range(_INTERPRETER_STEPS):
            total += step & 7
        for _ in range(_SMALL_OPERATORS):
            np.multiply(self._small, self._small, out=self._result)
        np.copyto(self._target, self._source)
        return time.perf_counter() - begin
