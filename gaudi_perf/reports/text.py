"""Texts of documents as they can be shown."""

from __future__ import annotations

import io

from rich.console import Console

from gaudi_perf.vocabulary.formats import escaped

_LONGEST = 2000


def harmless(text: str, longest: int = _LONGEST) -> str:
    """Text from a model, a log or a file, safe to show: on one line, ``escaped`` and cut."""
    shown = escaped(text if text.isprintable() else " ".join(text.expandtabs().splitlines()))
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
