from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.waiver import Waiver
from tests.stores.factories import make_run

RUN = make_run()
WAIVER = Waiver(case=RUN.case.id, device="gaudi2", reason="a fix is on its way", until="1.24.0", added_on="2026-01-31")


def synapse(version: str) -> Stack:
    return Stack(kind="synapse", version=version)


@pytest.fixture
def store(tmp_path: Path) -> WaiverStore:
    store = WaiverStore(tmp_path / "baselines")
    store.add(WAIVER)
    return store


def test_no_file_means_no_waivers(tmp_path: Path) -> None:
    assert WaiverStore(tmp_path).list() == ()
    assert WaiverStore(tmp_path).waived(RUN.case.id, RUN.device, RUN.stack) is None


@pytest.mark.parametrize(
    ("version", "waived"),
    [("1.8.0", True), ("1.23.9", True), ("1.24.0-rc1", True), ("1.24.0", False), ("1.24", False), ("1.100.0", False)],
)
def test_it_passes_until_the_version_and_then_fails_again(store: WaiverStore, version: str, waived: bool) -> None:
    assert store.waived(RUN.case.id, RUN.device, synapse(version)) == (WAIVER if waived else None)
    assert WAIVER.expired(synapse(version)) is not waived


def test_it_is_of_one_case_on_one_device_and_one_kind_of_stack(store: WaiverStore) -> None:
    assert store.waived("bloomz7b-8x-graphs-kvcache", RUN.device, RUN.stack) is None
    assert store.waived(RUN.case.id, replace(RUN.device, name="emulated-gaudi2"), RUN.stack) is None
    assert store.waived(RUN.case.id, RUN.device, Stack(kind="torch", version="1.0.0")) is None


def test_it_does_not_cover_a_worse_regression_than_it_says(store: WaiverStore) -> None:
    store.add(replace(WAIVER, up_to_ratio=1.1))
    assert len(store.list()) == 1
    assert store.waived(RUN.case.id, RUN.device, RUN.stack, ratio=1.09) is not None
    assert store.waived(RUN.case.id, RUN.device, RUN.stack, ratio=1.11) is None
    assert store.waived(RUN.case.id, RUN.device, RUN.stack) is not None


def test_adding_and_removing(store: WaiverStore) -> None:
    other = replace(WAIVER, case="bloomz7b-8x-graphs-kvcache")
    store.add(other)
    assert set(store.list()) == {WAIVER, other}
    assert store.remove(WAIVER.case, "gaudi2") == (WAIVER,)
    assert store.list() == (other,)
    with pytest.raises(UserError, match=r"no waiver of bloomz7b-1x-.* on gaudi2; there are: bloomz7b-8x"):
        store.remove(WAIVER.case, "gaudi2")
    assert BaselineStore(store.directory).list() == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("until", '"soon"', "'soon' is not a version"),
        ("until", "null", "$.waivers[0].until"),
        ("reason", '"  "', "the reason is empty"),
        ("up_to_ratio", "0.5", "$.waivers[0].up_to_ratio"),
        ("device", '"Gaudi 2"', "$.waivers[0].device"),
        ("added_on", '"yesterday"', "$.waivers[0].added_on"),
        ("colour", '"blue"', "`colour`"),
    ],
)
def test_a_malformed_file_is_one_sentence(store: WaiverStore, field: str, value: str, words: str) -> None:
    tree = json.loads(store.path.read_text())
    tree["waivers"][0][field] = json.loads(value)
    store.path.write_text(json.dumps(tree))
    before = store.path.read_bytes()
    for call in (store.list, lambda: store.add(WAIVER)):
        with pytest.raises(UserError) as caught:
            call()
        assert str(caught.value).startswith(f"{store.path}: not a valid waivers document")
        assert words in str(caught.value)
    assert store.path.read_bytes() == before


def test_the_same_case_twice_is_refused(store: WaiverStore) -> None:
    store.path.write_bytes(b'{"schema": "gaudi-perf/waivers/1", "waivers": [' + b", ".join([_json(WAIVER)] * 2) + b"]}")
    with pytest.raises(UserError, match="is waived twice: keep one"):
        store.list()


def _json(waiver: Waiver) -> bytes:
    return msgspec.json.encode(waiver)
