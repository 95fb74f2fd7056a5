"""How far a dataset is, and how long the rest of it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

_WIDTH = 20


class TimeLeft:
    """Estimates the time left from the batches that this run has completed, not by those of an earlier one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is done yet.

        Args:
            clock: the time in seconds, from any beginning.
        """
        self._clock = clock
        self._before: int | None = None
        self._first: tuple[int, float] | None = None

    def seconds(self, done: int, total: int) -> float | None:
        """The time that the rest takes, in seconds, when so many batches are done; None while that is unknown.

        The first call has what was there before. The time before the first batch is that of the warm-up, so there is an
        estimate from the second on.
        """
        if self._before is None:
            self._before = done
        if done == total:
            return 0.0
        if done == self._before:
            return None
        now = self._clock()
        if self._first is None:
            self._first = done, now
        since, begin = self._first
        return None if done == since else (now - begin) / (done - since) * (total - done)

    def text(self, done: int, total: int) -> str:
        """The same as text: ``7/21 batches, 0:01:10 left``."""
        seconds = self.seconds(done, total)
        left = "?:??:??" if seconds is None else str(timedelta(seconds=round(seconds)))
        return f"{done}/{total} batches, {left} left"


def bar(done: int, total: int) -> str:
    """A bar of plain characters, for terminals of any encoding."""
    filled = _WIDTH * done // total if total else _WIDTH
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}]"
