"""Tiny interval bars for terminals: where a ratio and its interval lie, ``──●┼─`` around "the same"."""

from __future__ import annotations

_REACH = 4.0
"""How many tolerances lie between the middle of a bar and its end."""


def interval_bar(low: float, ratio: float, high: float, *, tolerance: float, width: int) -> str:
    """A bar of ``width`` characters: the middle is "the same", its ends are four tolerances slower and faster.

    What lies beyond an end is shown by an arrow there. The width is an odd number of characters, at least 5.
    """
    middle = width // 2
    first, at, last = (_place(value, tolerance, middle) for value in (low, ratio, high))
    cells = [" "] * width
    cells[middle] = "│"
    for index in range(max(first, 0), min(last, width - 1) + 1):
        cells[index] = "┼" if index == middle else "─"
    if last > width - 1:
        cells[-1] = "▸"
    if first < 0:
        cells[0] = "◂"
    cells[min(max(at, 0), width - 1)] = "●" if 0 <= at < width else ("▸" if at >= width else "◂")
    return "".join(cells)


def _place(ratio: float, tolerance: float, middle: int) -> int:
    offset = (ratio - 1) / (_REACH * tolerance) * middle
    return middle + round(min(max(offset, -1e6), 1e6))
