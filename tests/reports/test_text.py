from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.reports.text import harmless

DANGEROUS = {
    "a colour": "\x1b[31mred\x1b[0m",
    "a title": "\x1b]0;title\x07",
    "one-byte CSI": "\x9b31m",
    "a bell": "\x07",
    "backspaces": "PASSED\x08\x08\x08\x08\x08\x08FAILED",
    "a carriage return": "REGRESSED\rUNCHANGED",
    "text from right to left": "\u202eDESSAP\u202c",
    "isolates": "\u2066x\u2069",
    "nothing wide": "a\u200bb\ufeffc",
    "another line": "a\u2028b\u2029c\x85d",
    "half a character": "\ud800",
    "a private one": "\ue000",
    "an unassigned one": "\u0378",
    "null": "\0",
    "a command to GitHub": "::set-output name=a::b",
    "one where a line ends": "a ::error::b",
    "one that wrapping makes": "a" * 78 + "::add-mask::b",
    "a command to Azure": "a ##vso[task.complete]",
    "one to TeamCity": "##teamcity[x]",
}


@pytest.mark.parametrize("text", DANGEROUS.values(), ids=DANGEROUS)
def test_what_could_deceive_becomes_visible(text: str) -> None:
    shown = harmless(text)
    assert shown != text and shown.isprintable()
    shown.encode()


@given(st.text(st.characters(), max_size=200))
def test_nothing_that_controls_is_left(text: str) -> None:
    shown = harmless(text)
    assert not any(
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in shown
        if character not in "\n\t"
    )
    assert len(shown.splitlines()) <= text.count("\n") + 1
    assert harmless(shown) == shown


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=100))
def test_ordinary_text_stays(text: str) -> None:
    assert harmless(text) == text


def test_long_texts_are_cut() -> None:
    assert harmless("x" * 5000) == "x" * 1999 + "…"
    assert harmless("x" * 2000) == "x" * 2000
    assert len(harmless("\x1b" * 5000)) == 2000
    assert harmless("abcdef", longest=3) == "ab…"
