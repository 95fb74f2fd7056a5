"""What commands share: mistakes as one sentence, options, which runs are meant, tables that are plain when piped."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gaudi_perf.reports.text import Cell, Words, harmless, text_console
from gaudi_perf.session import values
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.remote import is_address
from gaudi_perf.vocabulary.documents import Document, encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, percent_set, short
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.workload import DTYPES

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PIPED_WIDTH = 500
"""Columns where no terminal is: nothing is cut or wrapped."""


class Mistake(click.ClickException):
    """A user's mistake: one sentence, and exit status 2."""

    exit_code = 2


class Command(click.Command):
    """A command whose examples are shown as they are written."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.help is not None:
            text = inspect.cleandoc(self.help).replace("{tolerance}", percent_set(TOLERANCES[LATENCY]))
            # click does not wrap a paragraph that begins with a backspace on a line of its own.
            self.help = text.replace("\n\nExamples", "\n\n\b\nExamples")


class Group(Command, click.Group):
    """A group whose commands show a ``UserError`` as its sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise Mistake(harmless(str(error))) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Mistake(harmless(f"{error.filename or 'this machine'}: {error.strerror or error}")) from None


class _Path(click.Path):
    """A path, and none that is empty; where ``addresses`` may stand, of an address its copy, brought up to date."""

    def __init__(self, *, addresses: bool = False) -> None:
        super().__init__(path_type=Path)
        self._addresses = addresses

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        option = param.opts[0] if param is not None else ""
        if value == "":
            value_of(values.path, value, option)
        if self._addresses and isinstance(value, str) and is_address(value):
            return value_of(values.directory, value, option)
        return super().convert(value, param, ctx)


PATH = _Path()


def _directory_option(name: str, about: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}-dir",
        type=_Path(addresses=True),
        default=Path(name),
        envvar=f"GAUDI_PERF_{name.upper()}_DIR",
        show_default=True,
        show_envvar=True,
        metavar="DIR",
        help=about,
    )


baselines_option = _directory_option(
    "baselines", "Where baselines are stored; a directory, or an address (s3://, sftp://)."
)
results_option = _directory_option(
    "results", "Where every run is kept as a document; noise is estimated from it. A directory, or an address."
)


def path_option(*names: str, metavar: str = "FILE", **settings: Any) -> Callable[[F], F]:
    """An option that takes a path; its default, if it has one, is shown."""
    return click.option(*names, type=PATH, metavar=metavar, show_default="default" in settings, **settings)


def count_option(
    name: str, about: str, *, default: int | None = None, most: int | None = None, **settings: Any
) -> Callable[[F], F]:
    """An option that takes a whole number from 1; its default, if it has one, is shown."""
    kind, shown = click.IntRange(min=1, max=most), default is not None
    return click.option(name, type=kind, default=default, show_default=shown, help=about, **settings)


case_option = click.option(
    "--case", metavar="PART", default="", help="Only cases whose id has this part, for instance 8x."
)
dtype_option = click.option(
    "--dtype", type=click.Choice(DTYPES), default="bfloat16", show_default=True, help="Of weights and cache."
)


def tolerance_option(about: str = "Largest slowdown that is accepted.") -> Callable[[F], F]:
    """``--tolerance``, a share."""
    return click.option(
        "--tolerance",
        callback=parsed(values.share),
        metavar="PERCENT",
        default=f"{TOLERANCES[LATENCY] * 100:g}%",
        show_default=True,
        help=about,
    )


json_option = click.option(
    "--json", "as_json", is_flag=True, help="As a JSON document; docs/scripting.md has its schema."
)


def echo_json(document: Document) -> None:
    """Print a document for programs."""
    # Azure's and TeamCity's CI look for commands anywhere in a log; in JSON only a string can have this.
    click.echo(encode(document).replace(b"##", b"#\\u0023"), nl=False)


def filter_options(command: F) -> F:
    """``--case``, ``--device`` and ``--stack``."""
    stack = click.option("--stack", metavar="NAME", help="Only this stack, as synapse-1.24.0 or 1.24.0.")
    device = click.option("--device", metavar="NAME", help="Only this device, for instance gaudi2.")
    return case_option(device(stack(command)))


def chosen_runs(results: Path, case: str, device: str | None, stack: str | None, purpose: str) -> list[Run]:
    """The runs under a results directory that the filters leave; files that cannot be read are named on stderr.
    Raises UserError if there is no such directory, or no run is left for the purpose, say ``list``.
    """
    read = read_history(results)
    left_out(read.problems)
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


def echo(text: str, color: str | None = None, *, err: bool = False) -> None:
    """Print a line, whatever its text comes from, coloured on a terminal."""
    shown = harmless(text)
    click.echo(click.style(shown, fg=color) if color and colored() else shown, err=err, color=colored())


def left_out(sentences: Sequence[str]) -> None:
    """Name on stderr what could not be used."""
    for sentence in dict.fromkeys(sentences):
        echo(f"left out: {sentence}", err=True)


def existing_store(directory: Path) -> BaselineStore:
    """The baselines of a directory.
    Raises UserError if there is no such directory.
    """
    if not directory.is_dir():
        raise UserError(f"--baselines-dir {directory}: there is no such directory: name the one with the baselines")
    return BaselineStore(directory)


def parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that makes of an option's text what a parser of ``session.values`` makes of it."""

    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        return value_of(parse, value, parameter.opts[-1]) if isinstance(value, str) else value

    return callback


def value_of(parse: Callable[[str], T], text: str, option: str) -> T:
    """What a parser makes of an option's text.
    Raises UserError if it refuses the text; the sentence names the option and what it takes.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise UserError(f"{option} {short(text)}: {error}") from None


def colored() -> bool:
    """Whether to colour: on a terminal or with FORCE_COLOR (force-color.org), never with NO_COLOR (no-color.org)."""
    return (_on_terminal() or bool(os.environ.get("FORCE_COLOR"))) and not os.environ.get("NO_COLOR")


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # None where it was closed, as services do


def width() -> int:
    """Columns to write."""
    return max(shutil.get_terminal_size().columns, 60) if _on_terminal() else PIPED_WIDTH


def echo_words(words: Words) -> None:
    """Print a heading, a table and its notes."""
    if words.heading:
        echo(words.heading)
    echo_table(words.columns, words.rows, words.right)
    for note in words.notes:
        echo(note)


def echo_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> None:
    """Print a table by the titles of its columns, some aligned right; a cell is its text, or that and its style."""
    console, buffer = text_console(width(), colored())
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    cells = [
        [(harmless(cell), "") if isinstance(cell, str) else (harmless(cell[0]), cell[1]) for cell in row]
        for row in rows
    ]
    for index, title in enumerate(columns):
        # Only texts break; names and numbers stay whole, and a terminal that is too narrow wraps the line.
        texts = any(mark in row[index][0] for row in cells for mark in (", ", ": ", "; "))
        table.add_column(title, justify="right" if title in right else "left", overflow="fold", no_wrap=not texts)
    for row in cells:
        table.add_row(*(Text(*cell) for cell in row))
    console.width = max(console.width, Console(width=PIPED_WIDTH).measure(table).minimum)
    console.print(table)
    lines = buffer.getvalue().rstrip("\n").split("\n")
    click.echo("\n".join(line.rstrip() for line in lines), color=colored())
