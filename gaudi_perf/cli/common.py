"""What all commands share: mistakes as one sentence, options, and tables that are plain when piped."""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gaudi_perf.session import values
from gaudi_perf.vocabulary.errors import UserError

if TYPE_CHECKING:
    from gaudi_perf.reports.tabular import Words
    from gaudi_perf.stores.baselines import BaselineStore

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
        self.help = _with_examples(self.help)


class Group(click.Group):
    """A group whose commands show a ``UserError`` as its sentence."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.help = _with_examples(self.help)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise Mistake(shown(str(error))) from None
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise Mistake(shown(f"{error.filename or 'this machine'}: {error.strerror or error}")) from None


def baselines_option(command: F) -> F:
    """``--baselines-dir``, as pytest's."""
    return _directory_option("baselines", "Where baselines are stored.")(command)


def results_option(command: F) -> F:
    """``--results-dir``, as pytest's."""
    about = "Where every run is kept as a document; noise is estimated from it."
    return _directory_option("results", about)(command)


def _directory_option(name: str, about: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}-dir",
        type=click.Path(path_type=Path),
        default=Path(name),
        envvar=f"GAUDI_PERF_{name.upper()}_DIR",
        show_default=True,
        show_envvar=True,
        metavar="DIR",
        help=about,
    )


def existing_store(directory: Path) -> BaselineStore:
    """The baselines of a directory that is there.

    Raises:
        UserError: there is no such directory.
    """
    from gaudi_perf.stores.baselines import BaselineStore

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

    Raises:
        UserError: it refuses the text; the sentence names the option and what it takes.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise UserError(f"{option} {text}: {error}") from None


def share(text: str, option: str) -> float:
    """A share, written as ``5%`` or ``0.05``.

    Raises:
        UserError: it is none; the sentence names the option.
    """
    return value_of(values.share, text, option)


def colored() -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return _on_terminal() and not os.environ.get("NO_COLOR")


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # None where it was closed, as services do


def width() -> int:
    """Columns to write."""
    if not _on_terminal():
        return PIPED_WIDTH
    import shutil

    return max(shutil.get_terminal_size().columns, 60)


def shown(text: str) -> str:
    """Text of a file or a machine, safe to show on a line."""
    from gaudi_perf.reports.text import harmless

    return harmless(" ".join(text.split()))


def echo_words(words: Words) -> None:
    """Print a heading, a table and its notes."""
    if words.heading:
        click.echo(shown(words.heading))
    echo_table(words.columns, words.rows)
    for note in words.notes:
        click.echo(shown(note))


def echo_table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str | tuple[str, str]]]) -> None:
    """Print a table.

    Args:
        columns: the title of each, and ``left`` or ``right``.
        rows: a cell is its text, or its text and its style.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    color = colored()
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width(),
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    for index, (title, side) in enumerate(columns):
        # Only texts break; names and numbers stay whole, and a terminal that is too narrow wraps the line.
        texts = any(mark in _text(row[index]) for row in rows for mark in (", ", ": ", "; "))
        table.add_column(title, justify="right" if side == "right" else "left", overflow="fold", no_wrap=not texts)
    for row in rows:
        table.add_row(*(Text(shown(cell)) if isinstance(cell, str) else Text(shown(cell[0]), cell[1]) for cell in row))
    console.width = max(console.width, Console(width=PIPED_WIDTH).measure(table).minimum)
    console.print(table)
    click.echo("\n".join(line.rstrip() for line in buffer.getvalue().rstrip("\n").split("\n")), color=color)


def _text(cell: str | tuple[str, str]) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _with_examples(text: str | None) -> str | None:
    """Mark the paragraph of examples as one that click must not wrap (a line of a backspace alone)."""
    return None if text is None else inspect.cleandoc(text).replace("\n\nExamples", "\n\n\b\nExamples")
