"""What commands that read the history share: which of its runs are meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gaudi_perf.cli.common import shown
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES

if TYPE_CHECKING:
    from gaudi_perf.vocabulary.run import Run

F = TypeVar("F", bound=Callable[..., Any])

case_option = click.option(
    "--case", metavar="PART", default="", help="Only cases whose id has this part, for instance 8x."
)
DEFAULT_TOLERANCE = f"{TOLERANCES[LATENCY] * 100:g}%"
tolerance_option = click.option(
    "--tolerance",
    metavar="PERCENT",
    default=DEFAULT_TOLERANCE,
    show_default=True,
    help="Largest slowdown that is accepted.",
)


def filter_options(command: F) -> F:
    """``--case``, ``--device`` and ``--stack``."""
    stack = click.option("--stack", metavar="NAME", help="Only this stack, as synapse-1.24.0 or 1.24.0.")
    device = click.option("--device", metavar="NAME", help="Only this device, for instance gaudi2.")
    return case_option(device(stack(command)))


def chosen_runs(results: Path, case: str, device: str | None, stack: str | None, purpose: str) -> list[Run]:
    """The runs under a results directory that the options leave; files that cannot be read are named on stderr.

    Args:
        results: the directory.
        case: a part of the case id.
        device: the device's name, or None for all.
        stack: the stack's name or version, or None for all.
        purpose: what nothing is left for, for instance ``list``.

    Raises:
        UserError: there is no such directory, or no run is left.
    """
    from gaudi_perf.stores.history import read_history
    from gaudi_perf.vocabulary.formats import counted

    read = read_history(results)
    for problem in read.problems:
        click.echo(shown(f"left out: {problem}"), err=True)
    runs = [
        run
        for run in read.runs
        if case in run.case.id
        and device in (None, run.device.name)
        and stack in (None, run.stack.name, run.stack.version)
    ]
    if not runs:
        asked = "; the filters leave none of them" if read.runs else ""
        raise UserError(f"{results}: {counted(len(read.runs), 'run')} can be read{asked}: nothing to {purpose}")
    return runs
