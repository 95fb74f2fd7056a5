"""Durations by the host's clock, checked against CUDA events."""

from __future__ import annotations

import time
from typing import Any

_DIFFER_S, _DIFFER_SHARE = 0.001, 0.02
"""Host clock and device clock of a generation may differ by so much: a launch, a copy of the tokens."""


class Taking:
    """The time of one generation, which begins when this is made."""

    def __init__(self, taken: list[tuple[float, Any, Any]]) -> None:
        import torch

        self._taken = taken
        self._first, self._last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._begin = time.perf_counter()
        self._first.record()

    def enqueued(self) -> None:
        """All is asked of the device; nobody has waited for it yet."""
        self._last.record()

    def ended(self) -> None:
        """The host has waited for the device."""
        self._taken.append((time.perf_counter() - self._begin, self._first, self._last))


class Clocks:
    """Both durations of every generation since they were last forgotten."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, Any, Any]] = []

    def begin(self) -> Taking:
        """A generation begins."""
        return Taking(self._taken)

    def forget(self) -> None:
        """Begin anew."""
        self._taken.clear()

    def problems(self) -> list[str]:
        """Why they must not be believed, and forget them. Events must have happened: after a synchronisation."""
        differing = [
            text for host, first, last in self._taken if (text := _differing(host, first.elapsed_time(last) / 1e3))
        ]
        # A host that was taken away for once is noise; one that does not wait for the GPU differs every time.
        often = len(differing) > len(self._taken) / 2
        self.forget()
        return differing[:1] if often else []


def _differing(host_s: float, device_s: float) -> str:
    """What to say of a generation whose durations by both clocks do not agree; empty if they do."""
    if abs(host_s - device_s) <= _DIFFER_S + _DIFFER_SHARE * device_s:
        return ""
    return (
        f"a round took {host_s:.4f} s by the host's clock and {device_s:.4f} s by CUDA events: the host was taken away "
        "in between, or did not wait for the GPU; measure on a quiet host"
    )
