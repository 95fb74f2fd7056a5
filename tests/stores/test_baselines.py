from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

import pytest

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.places import Place, baselines_named
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.resolution import resolve
from gaudi_perf.vocabulary.errors import UserError
from tests.stores.factories import make_run, make_runs


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    store = BaselineStore(tmp_path / "baselines")
    for version in ("1.10.0", "1.8.0", "1.9.0-preview"):
        apply(plan_refresh(store, Refresh(make_runs(version=version))))
    apply(plan_refresh(store, Refresh(make_runs(device="gaudi", version="1.8.0"))))
    return store


def test_list_is_in_the_order_of_versions(store: BaselineStore) -> None:
    (store.directory / "README.md").write_text("for people")
    (store.directory / ".git").mkdir()
    (store.directory / "gaudi" / "notes.txt").write_text("for people")
    assert [place.label for place in store.list()] == [
        "gaudi/synapse-1.8.0",
        "gaudi2/synapse-1.8.0",
        "gaudi2/synapse-1.9.0-preview",
        "gaudi2/synapse-1.10.0",
    ]


def test_no_directory_means_no_baselines(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path / "none")
    assert store.list() == []
    assert resolve(store, make_run()).reason.startswith("there are no baselines of gaudi2")
    assert not store.directory.exists()


@pytest.mark.parametrize(
    ("device", "stack", "sentence"),
    [
        ("gaudi3", "synapse-1.8.0", r"no baseline of device 'gaudi3'; there are: gaudi, gaudi2; did you mean 'gaudi"),
        ("gaudi2", "synapse-1.8.1", r"no baseline of stack 'synapse-1.8.1'; there are: synapse-1.8.0, .*did you mean"),
        ("Gaudi 2", "synapse-1.8.0", r"device 'Gaudi 2': not the name of a device"),
        ("../gaudi2", "synapse-1.8.0", r"not the name of a device"),
        ("gaudi2", "Habana-1.8.0", r"stack 'Habana-1.8.0': not the name of a stack.*the kinds are synapse"),
        ("gaudi2", "synapse", r"not the name of a stack"),
        ("gaudi2", "synapse-", r"'' is not a version"),
        ("gaudi2", "synapse-../1", r"not the name of a stack"),
    ],
)
def test_what_is_not_there_is_one_sentence(store: BaselineStore, device: str, stack: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        store.read(device, stack)


def test_a_file_in_the_place_of_another_device(store: BaselineStore) -> None:
    path = store.directory / "gaudi2" / "synapse-1.8.0.json"
    (store.directory / "gaudi" / "synapse-1.8.0.json").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"gaudi/synapse-1.8.0.json: device.name is 'gaudi2', but .* lies in 'gaudi'"):
        store.read("gaudi", "synapse-1.8.0")


def test_a_file_in_the_place_of_another_stack(store: BaselineStore) -> None:
    path = store.directory / "gaudi2" / "synapse-1.8.0.json"
    path.rename(path.with_name("synapse-1.7.0.json"))
    with pytest.raises(UserError, match=r"stack is 'synapse-1.8.0' .*the file is called 'synapse-1.7.0'"):
        store.read("gaudi2", "synapse-1.7.0")


def test_a_file_whose_name_is_no_stack(store: BaselineStore) -> None:
    path = store.directory / "gaudi2" / "newest.json"
    path.write_text("{}")
    for call in (store.list, lambda: resolve(store, make_run())):
        with pytest.raises(UserError, match=r"gaudi2/newest.json: not the name of a stack"):
            call()


def test_a_directory_whose_name_is_no_device(store: BaselineStore) -> None:
    (store.directory / "Gaudi 3").mkdir()
    with pytest.raises(UserError, match=r"Gaudi 3: not the name of a device: write it like gaudi2"):
        store.list()
    assert [match.role for match in resolve(store, make_run(version="1.10.0")).matches] == ["drift", "release"]


def test_a_malformed_file_is_told_where_it_is_needed_and_only_there(store: BaselineStore) -> None:
    path = store.directory / "gaudi2" / "synapse-1.8.0.json"
    tree = json.loads(path.read_text())
    tree["cases"][0]["runs"][0]["measurement"]["latencies_s"][0] = "fast"
    path.write_text(json.dumps(tree))
    assert len(resolve(store, make_run(version="1.10.0")).matches) == 2
    with pytest.raises(UserError) as caught:
        resolve(store, make_run(version="1.8.0"))
    assert str(path) in str(caught.value)
    assert "$.cases[0].runs[0].measurement.latencies_s[0]" in str(caught.value)


def test_problems_are_all_told(store: BaselineStore) -> None:
    assert list(store.problems()) == []
    (store.directory / "gaudi2" / "synapse-1.8.0.json").write_text("{}")
    (store.directory / "gaudi2" / "synapse-1.10.0.json").write_bytes(b"\xff")
    (store.directory / "gaudi" / "x.json").write_text("{}")
    problems = list(store.problems())
    assert len(problems) == 3
    assert "gaudi/x.json" in problems[0]
    assert "synapse-1.8.0.json: not a valid baseline document: Object missing required field `device`" in problems[1]
    assert "synapse-1.10.0.json: not a valid baseline document" in problems[2]


def test_an_unknown_model_is_a_problem(store: BaselineStore) -> None:
    path = store.list()[0].path
    path.write_text(path.read_text().replace('"bloomz7b"', '"bloomz9b"'))
    assert list(store.problems()) == [f"{path}: this suite has no model 'bloomz9b': nothing is compared with its cases"]


def test_a_baseline_in_the_wrong_place_is_a_problem(store: BaselineStore) -> None:
    """Nothing reads it, so its cases would be NO BASELINE, and pass."""
    (store.directory / "waivers.json").write_text('{"waivers": []}')
    assert list(store.problems()) == []
    path = store.directory / "synapse-1.24.0.json"
    path.write_text("{}")
    (problem,) = store.problems()
    assert problem.startswith(f"{path}: nothing reads it here")


def test_a_level_is_the_median_over_runs_of_their_medians(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    runs = [make_run([1.0, 1.1, 9.0]), make_run([1.2, 1.2, 1.3]), make_run([5.0, 5.0, 0.1])]
    apply(plan_refresh(store, Refresh(runs, minimum_runs=3)))
    assert store.read("gaudi2", "synapse-1.22.0").cases[0].level_s == 1.2


def test_what_is_no_file_is_called_that_by_each_name(tmp_path: Path) -> None:
    """And not missing: a list of what there is has its name."""
    (tmp_path / "gaudi2").mkdir()
    os.mkfifo(tmp_path / "gaudi2" / "synapse-1.22.0.json")
    (tmp_path / "gaudi2" / "synapse-1.23.0.json").symlink_to("synapse-1.23.0.json")
    store = BaselineStore(tmp_path)
    with pytest.raises(UserError, match=r"1\.22\.0\.json: is no regular file"):
        store.read("gaudi2", "synapse-1.22.0")
    with pytest.raises(UserError, match=r"1\.23\.0\.json: cannot be read \(Too many levels of symbolic links\)"):
        store.read("gaudi2", "synapse-1.23.0")
    for name in ("synapse-1.23.0", "gaudi2/synapse-1.23.0"):
        assert [place.version for place in cast("list[Place]", baselines_named(tmp_path, name, name))] == ["1.23.0"]
