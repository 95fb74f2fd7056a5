"""A table before it is shown: on a terminal, as Markdown, or as CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gaudi_perf.reports.text import harmless

Cell = str | tuple[str, str]
"""A cell's text, or its text and its style on a terminal."""


@dataclass(frozen=True)
class Words:
    """A heading (may be empty), a table, and what to know about it; a column is its title and ``left`` or ``right``."""

    heading: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())


def markdown(words: Words) -> str:
    """A table as Markdown, with its notes as a list."""
    lines = [f"**{escaped(words.heading)}**", ""] if words.heading else []
    lines.append("| " + " | ".join(escaped(title) for title, _ in words.columns) + " |")
    lines.append("| " + " | ".join("---:" if side == "right" else "---" for _, side in words.columns) + " |")
    for row in words.rows:
        lines.append("| " + " | ".join(escaped(cell if isinstance(cell, str) else cell[0]) for cell in row) + " |")
    if words.notes:
        lines += ["", *(f"- {escaped(note)}" for note in words.notes)]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is: no markup, no link, no mention, on one line.

    Punctuation that could mean something is written as character references, which CommonMark (section 2.5) takes for
    text. Forges look for mentions in the rendered text, so an invisible joiner stands behind an ``@``.
    """
    shown = harmless(" ".join(text.split()))
    return _MEANING.sub(lambda match: _reference(match.group()), shown)


_MEANING = re.compile(r"[&<>\"\\|`*_~\[\]{}@#$^]|(?<=\w):(?=//)|(?<=www)\.")


def _reference(character: str) -> str:
    return f"&#{ord(character)};" + ("&#8288;" if character == "@" else "")
