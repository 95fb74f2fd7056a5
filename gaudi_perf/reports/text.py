"""Texts of documents as they can be shown."""

from __future__ import annotations

import unicodedata

_LONGEST = 2000
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of characters that control, direct, break lines or mean nothing."""


def harmless(text: str, longest: int = _LONGEST) -> str:
    """Text from a model, a log or a file, safe to show: control and direction characters become visible escapes."""
    shown = text if text.isprintable() else "".join(_visible(character) for character in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def encodable(text: str, encoding: str | None) -> str:
    """Text for a stream that may not know every character (an ASCII locale): plain characters stand in for others."""
    try:
        text.encode(encoding or "utf-8")
        return text
    except (UnicodeEncodeError, LookupError):
        plain = text.translate(_PLAIN)
        return plain.encode("ascii", "backslashreplace").decode()


_PLAIN = str.maketrans({"─": "-", "━": "-", "│": "|", "┼": "+", "●": "o", "◂": "<", "▸": ">", "µ": "u", "…": "~"})


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
