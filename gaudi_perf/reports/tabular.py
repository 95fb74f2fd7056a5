"""A table before it is shown: on a terminal, as Markdown, or as CSV."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gaudi_perf.reports.text import harmless

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


_MEANING = re.compile(r"[&<>\"\\|`*_~\[\]{}@#$^]|(?<=\w):(?=//)|(?<=www)\.")
