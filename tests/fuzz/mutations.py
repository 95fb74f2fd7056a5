"""Documents that are damaged as real ones are: cut, merged, nested, huge, of other types."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

PIECES = (
    *(
        b"null",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
        b"[]",
        b"{}",
        b'"',
        b"\n",
        b"#",
        b"=",
        b"\0",
        b"\xff\xfe",
        b"\xc3\x28",
    ),
    *(b'"\\ud800"', b"\xed\xa0\x80", "\ufeff".encode(), b"\x1b[2J", b"\n::set-output name=a::b\n", b"\n<<<<<<< ours\n"),
    *(b"9" * 5000, b"1" + b"0" * 400, b'"' + b"x" * 100_000 + b'"', b"[" * 50_000, b'{"a":' * 50_000, b"a.b." * 5000),
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, 1e308, 2**63, 10**400, float("nan"), float("inf"), "", "x", " ", "x" * 100_000, "\ud800"),
    *("\n::set-output name=a::b", "1" * 5000, "../../etc", "evil/kernel", [], {}, [[]], [None], {"": ""}, [0] * 10_000),
)


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """One of some documents, with one to three damages."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 3))):
        data = draw(st.sampled_from((_value, _value, _piece, _cut, _line)))(draw, data)
    return data


def _value(draw: st.DrawFn, data: bytes) -> bytes:
    """Another value, key or object somewhere in JSON; a piece in what is none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _piece(draw, data)
    holders: list[tuple[Any, Any]] = []
    found = [document]
    while found and len(holders) < 5000:
        one = found.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        holders += [(one, key) for key in keys]
        found += [one[key] for key in keys]
    if not holders:
        return _piece(draw, data)
    holder, key = holders[draw(st.integers(0, len(holders) - 1))]
    what = draw(st.sampled_from(("other", "other", "gone", "more", "twice")))
    if what == "twice" and isinstance(holder, dict):
        named = json.dumps(key)
        return json.dumps(document).replace(f"{named}:", f"{named}: 1, {named}:", 1).encode()
    if what == "gone":
        del holder[key]
    elif what == "more" and isinstance(holder, dict):
        holder[draw(st.sampled_from(("schema", "x", "", "\n", "k" * 100_000)))] = draw(st.sampled_from(VALUES))
    else:
        holder[key] = draw(st.sampled_from(VALUES))
    return json.dumps(document).encode()


def _piece(draw: st.DrawFn, data: bytes) -> bytes:
    """A piece in the place of some bytes."""
    at = int(draw(st.floats(0, 1)) * len(data))
    return data[:at] + draw(st.sampled_from(PIECES)) + data[at + draw(st.integers(0, 40)) :]


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: int(draw(st.floats(0, 1)) * len(data))]


def _line(draw: st.DrawFn, data: bytes) -> bytes:
    """A line that is gone, or stands there twice or a thousand times."""
    lines = data.splitlines(keepends=True) or [b"\n"]
    at = draw(st.integers(0, len(lines) - 1))
    times = min(draw(st.sampled_from((0, 2, 1000))), 2 + (1 << 20) // len(lines[at]))
    return b"".join(lines[:at] + lines[at : at + 1] * times + lines[at + 1 :])
