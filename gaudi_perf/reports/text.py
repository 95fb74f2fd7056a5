"""Texts of documents, and tables of them, as they can be shown: on a terminal, as Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.console import Console

from gaudi_perf.vocabulary import formats

_LONGEST = 2000
_MEANING = re.compile(r"[&<>\"\\|`*_~\[\]{}@#$^]|(?<=\w):(?=//)|(?<=www)\.")


def harmless(text: str, longest: int = _LONGEST) -> str:
    """Text from a model, a log or a file, safe to show: on one line, ``escaped`` and cut."""
    shown = formats.escaped(text if text.isprintable() else " ".join(text.expandtabs().splitlines()))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def harmless_lines(text: str) -> str:
    """The same of a text whose lines are ours."""
    return "\n".join(harmless(line) for line in text.splitlines())


def encodable(text: str, encoding: str | None) -> str:
    """Text for a stream that may not know every character (an ASCII locale): plain characters stand in for others."""
    try:
        text.encode(encoding or "utf-8")
        return text
    except (UnicodeEncodeError, LookupError):
        plain = text.translate(_PLAIN)
        return plain.encode("ascii", "backslashreplace").decode()


_PLAIN = str.maketrans({"─": "-", "━": "-", "│": "|", "┼": "+", "●": "o", "◂": "<", "▸": ">", "µ": "u", "…": "~"})


def text_console(width: int, color: bool) -> tuple[Console, io.StringIO]:
    """A console that writes into a text, and takes nothing in it for markup."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    return console, buffer


Cell = str | tuple[str, str]
"""A cell's text, or its text and its style on a terminal."""


@dataclass(frozen=True)
class Words:
    """A heading (may be empty), a table by the titles of its columns, some of them aligned right, and notes on it."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    right: Collection[str] = ()


def markdown(words: Words) -> str:
    """A table as Markdown, with its notes as a list."""
    lines = [f"**{escaped(words.heading)}**", ""] if words.heading else []
    sides = ["---:" if title in words.right else "---" for title in words.columns]
    rows = ([escaped(cell if isinstance(cell, str) else cell[0]) for cell in row] for row in words.rows)
    lines += [f"| {' | '.join(row)} |" for row in (map(escaped, words.columns), sides, *rows)]
    if words.notes:
        lines += ["", *(f"- {escaped(note)}" for note in words.notes)]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is: no markup, no link, no mention, on one line.

    Punctuation that could mean something is written as character references, which CommonMark (section 2.5) takes for
    text. Forges look for mentions in the rendered text, so an invisible joiner stands behind an ``@``.
    """
    shown = harmless(" ".join(text.split()))
    return _MEANING.sub(lambda found: f"&#{ord(found[0])};" + ("&#8288;" if found[0] == "@" else ""), shown)
