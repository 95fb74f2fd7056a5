"""How far ``gaudi-perf complete`` is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gaudi_perf.workers.controller.completing import Progress

_LINE_EVERY_SECONDS = 10.0


@contextmanager
def told_progress() -> Iterator[Progress]:
    """Tells how many batches are done and the time left, on the error stream, so that output stays what it is."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(lambda text: click.echo(text, err=True))
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    from gaudi_perf.workers.controller.completing import TimeLeft

    left = TimeLeft()
    with Bar(BarColumn(), TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("loading", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=left.text(done, total))

        yield show


def lines(write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Progress:
    """A progress in lines: at the beginning, at the end, and every ten seconds in between.

    Args:
        write: takes a line.
        clock: the time in seconds, from any beginning.
    """
    from gaudi_perf.workers.controller.completing import TimeLeft

    left, last = TimeLeft(clock), [float("-inf")]

    def tell(done: int, total: int) -> None:
        text = left.text(done, total)
        if done == total or clock() - last[0] >= _LINE_EVERY_SECONDS:
            last[0] = clock()
            write(text)

    return tell
