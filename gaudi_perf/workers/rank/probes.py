"""The reference probe: a short fixed piece of work whose duration shows how fast the host is just now.

It does what the host does in a generation: interpreter work, dispatch of small operators, streaming through memory.
Rounds are bracketed by it, so that a slower machine is not taken for slower software (a control variate). Other
processes take the processor away for milliseconds at a time, so the work is repeated, for about a twentieth of the
time of the rounds. On a busy machine with two cores, runs of 20 rounds of 0.2 s lay 39 % apart; corrected by a single
piece of work around each round 35 %, by 16 of them 13 %.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

SHARE = 0.05
"""Length of a probe, of the time since the probe before it."""
SHORTEST_S = 0.001
LONGEST_S = 0.25

_INTERPRETER_STEPS = 4000
_SMALL_OPERATORS = 400
_STREAM_BYTES = 2 * 1024 * 1024


class HostProbe:
    """A fixed piece of work on the host, of about a third of a millisecond; its buffers are made once."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._small = np.ones(16, dtype=np.float32)
        self._result = np.empty_like(self._small)
        self._source = np.ones(_STREAM_BYTES // 4, dtype=np.float32)
        self._target = np.empty_like(self._source)
        self._fastest = math.inf
        self._ended = clock()

    def seconds(self) -> float:
        """Do the work again and again; the mean duration of one piece, in seconds.

        The number of pieces is chosen beforehand, by the fastest that was ever seen: were it to depend on the pieces
        themselves, slow ones would count for less.
        """
        length = min(max(SHARE * (self._clock() - self._ended), SHORTEST_S), LONGEST_S)
        self._piece()  # into the caches, which the round has filled with other things: else short probes look slower
        if self._fastest == math.inf:
            self._fastest = self._timed_piece()
        count = max(1, round(length / self._fastest) - 1)
        durations = [self._timed_piece() for _ in range(count)]
        self._fastest = min(self._fastest, *durations)
        self._ended = self._clock()
        return sum(durations) / count

    def _timed_piece(self) -> float:
        begin = self._clock()
        self._piece()
        return self._clock() - begin

    def _piece(self) -> None:
        total = 0
        for step in range(_INTERPRETER_STEPS):
            total += step & 7
        for _ in range(_SMALL_OPERATORS):
            np.multiply(self._small, self._small, out=self._result)
        np.copyto(self._target, self._source)
