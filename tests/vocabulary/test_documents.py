from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_perf.vocabulary.baseline import Baseline, decode_baseline
from gaudi_perf.vocabulary.documents import Document, decode, encode, encode_line
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.note import Note
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session
from tests.vocabulary.strategies import documents

SOURCE = "baselines/gaudi2/synapse-1.8.0.json"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["", "../../etc", "NaN", "2026-02-31T00:00:00Z", "१.२", -1, 0, 10**400, 2**63, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def decodes_or_tells(data: bytes, kind: type[Any]) -> None:
    """The property: a valid document, which is the same after another trip, or one sentence that names the source."""
    try:
        document = decode(data, kind, SOURCE)
    except UserError as error:
        sentence = str(error)
        assert sentence.startswith(f"{SOURCE}: not a valid {kind.__name__.lower()} document: ")
        assert "\n" not in sentence
        assert len(sentence) < 600
    else:
        assert decode(encode(document), kind, SOURCE) == document


@given(documents)
def test_documents_are_the_same_after_a_trip(document: Document) -> None:
    assert decode(encode(document), type(document), SOURCE) == document
    assert decode(encode_line(document), type(document), SOURCE) == document
    assert encode_line(document).count(b"\n") == 1


@given(documents)
def test_what_people_read_is_what_a_machine_reads(document: Document) -> None:
    assert json.loads(encode(document)) == json.loads(encode_line(document))
    assert encode(decode(encode(document), type(document), SOURCE)) == encode(document)


@pytest.mark.parametrize(
    ("text", "line", "first"),
    [
        ('{"a": 1, "a": 2}', 1, 1),
        ('{"a": 1,\n"b": 2,\n"a": 1}', 3, 1),
        ('{"a": {"x": [{"y": 1}, "}{,:"]},\n"\\u0061": 2}', 2, 1),
        ('[[], {"\\"": "\\\\",\n\n"\\"": 1.00}]', 3, 1),
    ],
)
def test_a_key_that_is_there_twice(text: str, line: int, first: int) -> None:
    with pytest.raises(UserError, match=rf"line {line}: the key '.' stands on line {first} already: keep one of them"):
        decode(text, Any, SOURCE)


@given(JSON)
def test_keys_that_are_there_once(value: Any) -> None:
    text = json.dumps(value, allow_nan=False, indent=1, default=str) if not _has_nan(value) else "{}"
    with contextlib.suppress(UserError):  # of numbers that msgspec does not hold
        decode(text, Any, SOURCE)
        decode(f'{{"a": {text}, "b": {{"a": {text}}}}}', Any, SOURCE)
        return
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text)


def _has_nan(value: Any) -> bool:
    return "NaN" in (text := json.dumps(value)) or "Infinity" in text


@pytest.mark.parametrize("marker", ["<<<<<<< HEAD", "=======", ">>>>>>> theirs"])
def test_conflict_markers_are_called_that(marker: str) -> None:
    with pytest.raises(UserError, match=rf"document: line 3 is a conflict marker of a merge \({marker[:7]}\): resolve"):
        decode(f'{{\n"a": 1,\n{marker}\n"b": 2}}', Any, SOURCE)


@given(st.binary(max_size=300), st.sampled_from([Baseline, Run, Session]))
def test_any_bytes_give_a_sentence(data: bytes, kind: type[Any]) -> None:
    decodes_or_tells(data, kind)


@settings(max_examples=300)
@given(documents, st.data())
def test_documents_with_one_part_replaced_give_a_sentence(document: Document, data: st.DataObject) -> None:
    tree = json.loads(encode(document))
    container, key = data.draw(st.sampled_from(list(parts(tree))))
    action = data.draw(st.sampled_from(["replace", "delete", "add"]))
    if action == "delete":
        del container[key]
    elif action == "add" and isinstance(container, dict):
        container["colour"] = 1
    else:
        container[key] = data.draw(JSON)
    decodes_or_tells(json.dumps(tree).encode(), type(document))


@given(documents, st.integers(min_value=0), st.binary(max_size=3))
def test_documents_with_bytes_replaced_give_a_sentence(document: Document, at: int, new: bytes) -> None:
    data = encode(document)
    at %= len(data)
    decodes_or_tells(data[:at] + new + data[at + len(new) :], type(document))


@given(documents, st.integers(min_value=0))
def test_truncated_documents_give_a_sentence(document: Document, at: int) -> None:
    data = encode(document).rstrip()
    with pytest.raises(UserError, match=r"not a valid"):
        decode(data[: at % len(data)], type(document), SOURCE)


def parts(tree: Any) -> Any:
    """Every part of a JSON document: its container, and its key there."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from parts(value)


PUBLISHED: dict[str, Any] = {
    "schema": "gaudi-perf/baseline/2",
    "device": {"name": "gaudi2", "accelerator": "hpu"},
    "stack": {"kind": "synapse", "version": "1.8.0"},
    "cases": [
        {
            "case": {
                "configuration": {"model": "bloomz7b", "devices": 8, "graphs": True, "kv_cache": True},
                "accelerator": "hpu",
                "workload": {},
                "scale": "full",
                "weights": "hub",
            },
            "published": {
                "latency_s": 0.737,
                "source": "an article",
                "address": "https://example.org",
                "published_on": "2023-03-28",
            },
        }
    ],
}


def set_at(*path: Any) -> Any:
    """A copy of the published document with another value at a path."""
    *keys, last, value = path
    tree = json.loads(json.dumps(PUBLISHED))
    container = tree
    for key in keys:
        container = container[key]
    container[last] = value
    return tree


CASE = PUBLISHED["cases"][0]


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (set_at("device", "name", "Gaudi 2"), "$.device.name"),
        (set_at("device", "name", "../gaudi2"), "$.device.name"),
        (set_at("device", "accelerator", "X PU"), "$.device.accelerator"),
        (set_at("stack", "version", "newest"), "'newest' is not a version"),
        (set_at("stack", "version", "1.8.0\n"), "is not a version"),
        (set_at("stack", "version", "9" * 5000), "$.stack.version"),
        (set_at("stack", {"kind": "synapse"}), "`version`"),
        (set_at("stack", "kind", "ro-cm"), "$.stack.kind"),
        (set_at("colour", "blue"), "`colour`"),
        (set_at("cases", 0, "published", "latency_s", -1), "$.cases[0].published.latency_s"),
        (set_at("cases", 0, "published", "latency_s", "fast"), "$.cases[0].published.latency_s"),
        (set_at("cases", 0, "published", "published_on", "28/3/2023"), "$.cases[0].published.published_on"),
        (set_at("cases", 0, "published", None), "bloomz7b-8x-graphs-kvcache: a baseline has either runs or"),
        (set_at("cases", 0, "runs", [{"run_id": "a"}]), "`session_id` - at `$.cases[0].runs[0]`"),
        (set_at("cases", 0, "runs", 7), "$.cases[0].runs"),
        (set_at("cases", 0, 7), "$.cases[0]"),
        (set_at("cases", 7), "$.cases"),
        (set_at("cases", [CASE, CASE]), "bloomz7b-8x-graphs-kvcache is there twice"),
        (set_at("cases", 0, "stack", {"kind": "synapse", "version": "1.9.0"}), "'synapse-1.9.0' in a file of"),
        (set_at("schema", "gaudi-perf/baseline/9"), "schema is 'gaudi-perf/baseline/9'"),
        ({**PUBLISHED, "schema": "gaudi-perf/baseline/9", "novelty": 1}, "schema is 'gaudi-perf/baseline/9'"),
    ],
)
def test_the_sentence_names_the_field(tree: Any, names: str) -> None:
    decode_baseline(json.dumps(PUBLISHED).encode(), SOURCE)
    with pytest.raises(UserError) as caught:
        decode_baseline(json.dumps(tree).encode(), SOURCE)
    assert names in str(caught.value)
    assert str(caught.value).startswith(SOURCE)


def test_text_that_is_no_unicode_gives_a_sentence() -> None:
    with pytest.raises(UserError, match="not a valid baseline"):
        decode('{"schema": "\ud800"}', Baseline, SOURCE)


@pytest.mark.parametrize("write", [encode, encode_line])
def test_what_is_not_utf_8_is_not_written(write: Callable[[Note], bytes]) -> None:
    """As an argument or a file's name of other bytes comes from the command line."""
    text = os.fsdecode(b"a\xff")
    with pytest.raises(UserError, match=r"^a\\udcff: is not UTF-8: write it, or name the file, in UTF-8$"):
        write(Note(case="a", text=text, added_at="2026-01-31T12:00:00Z"))


def test_deep_nesting_gives_a_sentence() -> None:
    with pytest.raises(UserError, match="not a valid baseline"):
        decode(b'{"cases":' + b"[" * 200_000, Baseline, SOURCE)


def test_a_union_of_messages_gives_a_sentence() -> None:
    with pytest.raises(UserError, match="not a valid message document"):
        decode(b"{}", int | str, "the worker")  # type: ignore[arg-type]


def test_lists_of_numbers_fill_their_lines() -> None:
    class Numbers(Document, frozen=True):
        few: list[float]
        many: list[float]
        nested: list[list[float]]

    text = encode(Numbers(few=[0.1, 0.2], many=[0.123456789] * 100, nested=[[1.0] * 60, []])).decode()
    assert '"few": [0.1, 0.2],' in text
    assert text.count("\n") < 30
    assert max(map(len, text.splitlines())) <= 110
    assert msgspec.json.decode(text)["many"] == [0.123456789] * 100


@pytest.mark.parametrize("time", ["2026-01-31T23:59:59Z", "2026-01-31T23:59:59.123456Z", "2024-02-29T00:00:00.1Z"])
def test_times_in_utc(time: str) -> None:
    Session(session_id="s", started_at=time, ended_at=time, cases=[])


@pytest.mark.parametrize(
    "time", ["2026-01-31T23:59:59", "2026-02-31T00:00:00Z", "2026-01-31T24:00:01Z", "２026-01-31T23:59:59Z", "now"]
)
def test_other_times_are_refused(time: str) -> None:
    with pytest.raises(ValueError, match="write it in UTC"):
        Session(session_id="s", started_at=time, ended_at=time, cases=[])
