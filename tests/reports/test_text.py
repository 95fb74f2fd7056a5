from __future__ import annotations

import math
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.reports.text import harmless
from gaudi_perf.vocabulary.formats import change, interval, percent, seconds, slower_or_faster

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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.07, "1.07 s"),
        (0.213, "213 ms"),
        (0.0084, "8.40 ms"),
        (0.000095, "95.0 µs"),
        (9.996, "10.0 s"),
        (99.96, "100 s"),
        (0.99996, "1.00 s"),
        (0.00099996, "1.00 ms"),
        (3600, "3600 s"),
        (1e-9, "0.00 µs"),
    ],
)
def test_seconds_have_three_digits(value: float, text: str) -> None:
    assert seconds(value) == text


@given(st.floats(min_value=1e-6, max_value=999))
def test_seconds_read_back_are_the_duration(value: float) -> None:
    text = seconds(value)
    number, unit = text.split(" ")
    assert len(number.replace(".", "")) == 3
    assert float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit] == pytest.approx(value, rel=0.0051)


@given(st.floats(min_value=1e-3, max_value=1e3))
def test_changes_read_back_are_the_ratio(ratio: float) -> None:
    text = change(ratio)
    assert re.fullmatch(r"[+-][0-9]+(\.[0-9])? %", text)
    coarse = abs(ratio - 1) >= 0.9995
    assert float(text.removesuffix(" %")) / 100 + 1 == pytest.approx(ratio, abs=0.00501 if coarse else 0.000501)
    assert not coarse or "." not in text
    words = slower_or_faster(ratio)
    assert words.endswith("slower" if ratio >= 1 else "faster")
    assert float(words.split(" ")[0]) == pytest.approx(abs(ratio - 1) * 100, abs=0.0501)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.096, "+9.6 %"),
        (0.97, "-3.0 %"),
        (1.0, "+0.0 %"),
        (0.9999, "+0.0 %"),
        (3.0, "+200 %"),
        (1e21, "over +100000 %"),
    ],
)
def test_changes(ratio: float, text: str) -> None:
    assert change(ratio) == text


def test_bounds_that_say_nothing_have_no_digits() -> None:
    assert [percent(value) for value in (0.031, 9.99, 4.7e21)] == ["3.1 %", "999.0 %", "over 1000 %"]


def test_intervals() -> None:
    assert interval(1.041, 1.152) == "[+4.1 %, +15.2 %]"
    assert not math.isnan(float(change(0.5).removesuffix(" %")))
