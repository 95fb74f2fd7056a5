"""A table before it is shown: on a terminal, as Markdown, or as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gaudi_perf.reports.text import harmless

Cell = str | tuple[str, str]
"""A cell's text, or its text and its style on a terminal."""


@dataclass(frozen=True)
class Words:
    """A heading, a table, and what to know about it.

    Attributes:
        heading: a line; may be empty.
        columns: each one's title, and ``left`` or ``right``.
        rows: a cell for each column.
        notes: a line each.
    """

    heading: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())


def markdown(words: Words) -> str:
    """A table as Markdown, with its notes as a list."""
    lines = [f"**{_escaped(words.heading)}**", ""] if words.heading else []
    lines.append("| " + " | ".join(_escaped(title) for title, _ in words.columns) + " |")
    lines.append("| " + " | ".join("---:" if side == "right" else "---" for _, side in words.columns) + " |")
    for row in words.rows:
        lines.append("| " + " | ".join(_escaped(cell if isinstance(cell, str) else cell[0]) for cell in row) + " |")
    if words.notes:
        lines += ["", *(f"- {_escaped(note)}" for note in words.notes)]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    shown = harmless(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return shown.replace("\\", "\\\\").replace("|", "\\|")
