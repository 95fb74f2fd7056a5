"""Scales, ticks and numbers of the page's figures, in the browser that runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import pytest

from gaudi_perf.reports.page.render import ASSETS
from gaudi_perf.vocabulary import formats
from tests.browser.chromium import Chromium

HOUR, DAY = 60, 24 * 60
Call = Callable[..., Any]


@pytest.fixture
def call(started: Chromium) -> Call:
    """Calls a function of a module that imports nothing."""
    started.open("about:blank")

    def made(module: str, function: str, *arguments: object) -> Any:
        source = (ASSETS / f"{module}.js").read_text("utf-8").replace("\nexport ", "\n")
        values = ", ".join(map(json.dumps, arguments))
        return started.run(f"(() => {{ {source}\n return {function}({values}); }})()")

    return made


def minutes(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=timezone.utc).timestamp() // 60)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("low", "high", "first"),
    [
        (minutes(2026, 1, 31, 20, 10), minutes(2026, 1, 31, 21, 40), "01-31 20:15"),  # sessions of one evening
        (minutes(2026, 1, 30, 1), minutes(2026, 2, 1, 23), "01-30 12:00"),
        (minutes(2026, 1, 1), minutes(2026, 2, 9), "2026-01-01"),
        (minutes(2023, 1, 20), minutes(2026, 1, 20), "2023-07"),
        (minutes(2026, 1, 31, 20, 10), minutes(2026, 1, 31, 20, 10), "01-31 20:10"),  # one session
    ],
)
def test_no_label_of_an_axis_of_time_stands_twice(call: Call, low: int, high: int, first: str) -> None:
    found = call("numbers", "timeTicks", low, high, 6)
    words = [tick["words"] for tick in found]
    assert 1 <= len(words) <= 7 and len(set(words)) == len(words) and words[0] == first
    assert all(low <= one["at"] < other["at"] <= high for one, other in pairwise(found))


def test_one_wild_interval_does_not_squeeze_the_others(call: Call) -> None:
    usual = {"ratio": 1.02, "low": 0.99, "high": 1.05, "tolerance": 0.05}
    wild = {"ratio": 1.02, "low": 0.004, "high": 156.24, "tolerance": 0.05}
    assert call("numbers", "reach", [usual]) == pytest.approx(0.112)
    assert call("numbers", "reach", [usual, wild]) == 0.5
    slower = {"ratio": 3.0, "low": 2.5, "high": 3.5, "tolerance": 0.05}
    assert call("numbers", "reach", [slower]) == pytest.approx(3.2)


@pytest.mark.parametrize("value", [4e-6, 9.4e-5, 0.00999, 0.0123, 0.4567, 0.9994, 0.9996, 1.0, 9.994, 9.996, 123.4])
def test_durations_and_changes_are_written_as_in_python(call: Call, value: float) -> None:
    assert call("numbers", "seconds", value) == formats.seconds(value)
    assert call("numbers", "change", value) == formats.change(value)


def test_labels_of_an_axis_say_what_they_are(call: Call) -> None:
    assert call("numbers", "tickLabels", [7.0, 7.25, 7.5, 7.75]) == ["7.00 s", "7.25 s", "7.50 s", "7.75 s"]
    assert call("numbers", "tickLabels", [0.27, 0.28, 0.29]) == ["270 ms", "280 ms", "290 ms"]


def test_csv_is_read_back_and_holds_no_formula(call: Call) -> None:
    text = call("numbers", "csv", ["a", "b"], [["=1+1", 'say "x", twice'], [None, 1.5]])
    assert text == 'a,b\r\n\'=1+1,"say ""x"", twice"\r\n,1.5\r\n'


def test_an_address_is_read_as_it_was_written(call: Call) -> None:
    order = {"id": "a b?c", "filter": "8x & graphs", "states": ["regressed", "failed"], "key": "ratio", "up": False}
    assert call("address", "parse", call("address", "written", order)) == order
    assert call("address", "written", {}) == "#"
    assert call("address", "parse", "#%zz")["id"] == "%zz"
