"""Numbers as people read them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.vocabulary.formats import (
    change,
    counted,
    interval,
    long_time,
    p_value,
    percent,
    percent_set,
    seconds,
    slower_or_faster,
    span,
)


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
    assert words == f"{text.lstrip('+-')} {'slower' if ratio >= 1 else 'faster'}"


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
    assert [percent(value) for value in (0.031, 9.99, 4.7e21)] == ["3.1 %", "999 %", "over 1000 %"]


def test_intervals() -> None:
    assert interval(1.041, 1.152) == "[+4.1 %, +15.2 %]"
    assert not math.isnan(float(change(0.5).removesuffix(" %")))


def test_a_share_that_was_chosen_has_the_digits_that_were_given() -> None:
    assert [percent_set(share) for share in (0.05, 0.005, 0.1, 0.99, 0.125, 1.0)] == [
        "5 %",
        "0.5 %",
        "10 %",
        "99 %",
        "12.5 %",
        "100 %",
    ]


def test_memory_is_more_or_less_and_not_slower() -> None:
    assert (slower_or_faster(1.5, "memory"), slower_or_faster(0.9, "memory")) == ("50.0 % more", "10.0 % less")


def test_p_values() -> None:
    assert [p_value(p) for p in (0.0, 0.00049, 0.0005, 0.0134, 0.1, 0.5)] == [
        "p < 0.001",
        "p < 0.001",
        "p = 0.001",
        "p = 0.013",
        "p = 0.10",
        "p = 0.50",
    ]


def test_singular_and_plural() -> None:
    assert [counted(count, "run") for count in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_times_that_somebody_waits() -> None:
    assert [long_time(value) for value in (0.2, 1, 40, 720, 9000)] == [
        "1 second",
        "1 second",
        "40 seconds",
        "12 minutes",
        "2.5 hours",
    ]


def test_spans() -> None:
    assert (span(["2", "5"], "MHz"), span(["2", "2"], "MHz"), span(["1.0 %"])) == ("2 to 5 MHz", "2 MHz", "1.0 %")
