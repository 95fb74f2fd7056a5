from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.resolution import Resolution, check_against, resolve
from gaudi_perf.stores.results import ResultsStore, require_one_stack
from gaudi_perf.vocabulary.errors import UserError
from tests.stores.factories import make_run, make_runs
from tests.stores.test_published import DIRECTORY as PUBLISHED


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines")


def keep(store: BaselineStore, *versions: str, latency: float = 1.0, **fields: object) -> None:
    for version in versions:
        runs = make_runs(latency, version=version, **fields)
        assert apply(plan_refresh(store, Refresh(runs, accept_regression="a test"))).refused == ()


def chosen(resolution: Resolution) -> list[tuple[str, str]]:
    return [(match.role, match.label) for match in resolution.matches]


def test_the_same_version_and_the_newest_earlier_one(store: BaselineStore) -> None:
    keep(store, "1.8.0", "1.9.0-preview", "1.9.0", "1.10.0", "1.22.0", "1.24.0")
    expected = {
        "1.24.1": [("release", "gaudi2/synapse-1.24.0")],
        "1.24.0": [("drift", "gaudi2/synapse-1.24.0"), ("release", "gaudi2/synapse-1.22.0")],
        "1.22.0": [("drift", "gaudi2/synapse-1.22.0"), ("release", "gaudi2/synapse-1.10.0")],
        "1.10.0": [("drift", "gaudi2/synapse-1.10.0"), ("release", "gaudi2/synapse-1.9.0")],
        "1.9.0": [("drift", "gaudi2/synapse-1.9.0"), ("release", "gaudi2/synapse-1.9.0-preview")],
        "1.9.0-preview": [("drift", "gaudi2/synapse-1.9.0-preview"), ("release", "gaudi2/synapse-1.8.0")],
        "1.8.0": [("drift", "gaudi2/synapse-1.8.0")],
    }
    assert {version: chosen(resolve(store, make_run(version=version))) for version in expected} == expected


def test_another_spelling_of_the_version_is_the_same_version(store: BaselineStore) -> None:
    keep(store, "1.22")
    assert chosen(resolve(store, make_run(version="1.22.0"))) == [("drift", "gaudi2/synapse-1.22")]


def test_an_earlier_version_that_lacks_the_case_is_passed_over(store: BaselineStore) -> None:
    keep(store, "1.20.0")
    keep(store, "1.21.0", model="bloomz176b", devices=8)
    assert chosen(resolve(store, make_run(version="1.22.0"))) == [("release", "gaudi2/synapse-1.20.0")]


def test_what_is_incomparable_is_named_with_its_differing_fields(store: BaselineStore) -> None:
    keep(store, "1.20.0", cpu="EPYC 9654")
    keep(store, "1.21.0", dtype="float16", new_tokens=10)
    resolution = resolve(store, make_run(version="1.21.0", weights="hub"))
    assert resolution.matches == ()
    assert resolution.reason == (
        "gaudi2/synapse-1.21.0 is incomparable: weights 'hub' is not 'dummy'; dtype 'bfloat16' is not 'float16'; "
        "new tokens 100 is not 10"
    )
    assert resolve(store, make_run(version="1.20.5", weights="hub")).reason == (
        "gaudi2/synapse-1.20.0 is incomparable: weights 'hub' is not 'dummy'; "
        "host class 'Xeon 8380, 80 cores' is not 'EPYC 9654, 80 cores'"
    )


def test_of_several_entries_the_closest_is_told(store: BaselineStore) -> None:
    keep(store, "1.22.0", scale="standin", dtype="float32", new_tokens=5)
    keep(store, "1.22.0", cpu="EPYC 9654")
    reason = resolve(store, make_run()).reason
    assert reason.endswith(" is incomparable: host class 'Xeon 8380, 80 cores' is not 'EPYC 9654, 80 cores'")


def test_a_comparable_entry_is_found_among_others(store: BaselineStore) -> None:
    keep(store, "1.22.0", cpu="EPYC 9654", latency=3.0)
    keep(store, "1.22.0", latency=2.0)
    keep(store, "1.22.0", dtype="float16")
    keep(store, "1.22.0", latency=1.5, dtype="fp8")
    (match,) = resolve(store, make_run()).matches
    assert match.case.level_s == 2.0
    (narrow,) = resolve(store, make_run(dtype="fp8")).matches
    assert narrow.case.level_s == 1.5
    assert match.stack == make_run().stack


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"device": "gaudi3"}, "there are no baselines of gaudi3 in"),
        ({"version": "1.8.0"}, "the baselines of gaudi2 are all of later versions than synapse-1.8.0"),
        ({"devices": 8}, "no baseline of gaudi2 on synapse-1.23.0 or earlier has bloomz7b-8x-graphs-kvcache"),
        ({"device": "emulated-gaudi2"}, "there are no baselines of emulated-gaudi2 in"),
    ],
)
def test_why_there_is_none(store: BaselineStore, fields: dict[str, str], reason: str) -> None:
    keep(store, "1.22.0")
    resolution = resolve(store, make_run(**{"version": "1.23.0", **fields}))  # type: ignore[arg-type]
    assert resolution.matches == () and resolution.reason.startswith(reason)


def test_published_numbers_stand_in_where_nothing_was_measured() -> None:
    store = BaselineStore(PUBLISHED)
    run = make_run(0.8, version="1.10.0", devices=8)
    assert chosen(resolve(store, run)) == [
        ("drift", "gaudi2/synapse-1.10.0"),
        ("release", "gaudi2/synapse-1.8.0"),  # the preview has no BLOOMZ-7B
    ]
    assert resolve(store, make_run(scale="standin", version="1.8.0")).reason == (
        "gaudi2/synapse-1.8.0 is incomparable: scale 'standin' is not 'full'"
    )


def test_measured_goes_before_published(store: BaselineStore, tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, store.directory)
    keep(store, "1.10.0", latency=0.9)
    drift = resolve(store, make_run(version="1.10.0")).matches[0]
    assert (drift.case.provenance, drift.case.level_s) == ("measured", 0.9)
    (named,) = resolve(store, make_run(version="1.10.0"), "published").matches
    assert (named.case.provenance, named.case.level_s) == ("published", 0.772)


def test_against_names_a_version_a_stack_a_device_or_what_is_published(store: BaselineStore) -> None:
    shutil.copytree(PUBLISHED, store.directory)
    keep(store, "1.22.0", "1.24.0")
    run = make_run(version="1.24.0")
    assert chosen(resolve(store, run, "1.22.0")) == [("named", "gaudi2/synapse-1.22.0")]
    assert chosen(resolve(store, run, "1.22")) == [("named", "gaudi2/synapse-1.22.0")]
    assert chosen(resolve(store, run, "synapse-1.8.0")) == [("named", "gaudi2/synapse-1.8.0")]
    assert chosen(resolve(store, run, "published")) == [("named", "gaudi2/synapse-1.10.0")]
    other_device = resolve(store, run, "gaudi/synapse-1.10.0")
    assert other_device.matches == ()
    assert other_device.reason == "gaudi/synapse-1.10.0 is incomparable: device 'gaudi2' is not 'gaudi'"


@pytest.mark.parametrize(
    ("against", "sentence"),
    [
        ("1.23.0", r"there is no such baseline in .*; there are: gaudi2/synapse-1.22.0"),
        ("synapse-1.23.0", r"there is no such baseline in"),
        ("synapse-newest", r"'newest' is not a version"),
        ("yesterday", r"no such results directory, and no such baseline: write a version \(1.22.0\)"),
        ("no/such/directory", r"there is no such results directory"),
    ],
)
def test_against_nothing_is_one_sentence(store: BaselineStore, against: str, sentence: str) -> None:
    keep(store, "1.22.0")
    with pytest.raises(UserError, match=rf"--against {against}: .*{sentence}|{sentence}"):
        resolve(store, make_run(), against)


def test_against_a_results_directory(store: BaselineStore, tmp_path: Path) -> None:
    results = ResultsStore(tmp_path / "results")
    older = make_runs(1.0, session="monday")
    for run in [*older, make_run(9.0, session="tuesday"), make_run(5.0, session="monday", devices=8)]:
        results.write_run(run)
    results.write_run(make_run(7.0, session="monday", problems=["throttled"]))
    results.write_run(make_run(8.0, session="monday", steady=False))  # a baseline that still drifted hides a slowdown
    now = make_run(1.0, session="tuesday")
    (match,) = resolve(store, now, str(results.directory)).matches
    assert match.role == "named"
    assert [run.run_id for run in match.case.runs] == sorted(run.run_id for run in older)
    nothing = resolve(store, make_run(model="bloomz176b"), str(results.directory))
    assert nothing.reason.endswith("has no runs of bloomz176b-1x-graphs-kvcache of another session")
    other_type = resolve(store, make_run(dtype="float16"), str(results.directory)).reason
    assert other_type.startswith(f"{results.directory} is incomparable: dtype 'float16' is not 'bfloat16'; ")


def test_against_results_of_several_stacks_is_refused(store: BaselineStore, tmp_path: Path) -> None:
    results = ResultsStore(tmp_path / "results")
    results.write_run(make_run(session="monday", version="1.21.0"))
    results.write_run(make_run(session="monday", version="1.22.0"))
    with pytest.raises(UserError, match=r"on several stacks \(synapse-1.21.0, synapse-1.22.0\): name a directory"):
        resolve(store, make_run(session="tuesday"), str(results.directory))


def test_stacks_of_one_version_are_several_where_labels_or_components_differ() -> None:
    old, new = (replace(make_run(), stack_label=label) for label in ("old", "new"))
    require_one_stack([old, old], "x")
    with pytest.raises(UserError, match=r"^x: holds .* \(synapse-1.22.0 \(new\), synapse-1.22.0 \(old\)\)"):
        require_one_stack([old, new], "x")
    with pytest.raises(UserError, match=r"\(synapse-1.22.0 with differing components\)"):
        require_one_stack([make_run(), make_run(components={"driver": "9"})], "x")
    elsewhere = make_run(components={"driver": "9"})
    require_one_stack([make_run(), replace(elsewhere, host=replace(elsewhere.host, cpu="another"))], "x")


def test_against_results_that_cannot_all_be_read_is_refused_before_anything_is_measured(
    store: BaselineStore, tmp_path: Path
) -> None:
    directory = tmp_path / "results"
    directory.mkdir()
    with pytest.raises(UserError, match="holds no run: name a results directory"):
        check_against(str(directory), tmp_path)
    ResultsStore(directory).write_run(make_run(session="monday"))
    check_against(str(directory), tmp_path)
    (directory / "run-1.json").write_text("{")
    refused = r"run-1.json: not a valid run document.*: remove that file"
    with pytest.raises(UserError, match=refused):
        check_against(str(directory), tmp_path)
    with pytest.raises(UserError, match=refused):
        resolve(store, make_run(session="tuesday"), str(directory))


def test_a_version_goes_before_a_directory_of_the_same_name(
    store: BaselineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, "1.22.0")
    monkeypatch.chdir(tmp_path)
    ResultsStore(tmp_path / "1.22.0").write_run(make_run(session="monday"))
    run = make_run(session="tuesday", version="1.23.0")
    for named, label in (("1.22.0", "gaudi2/synapse-1.22.0"), ("./1.22.0", "1.22.0")):
        check_against(named, store.directory)
        assert [match.label for match in resolve(store, run, named).matches] == [label]


@pytest.mark.parametrize(("baseline", "run"), [("gaudi2", "emulated-gaudi2"), ("emulated-gaudi2", "gaudi2")])
def test_emulated_and_real_are_never_compared(store: BaselineStore, tmp_path: Path, baseline: str, run: str) -> None:
    keep(store, "1.23.0", device=baseline)
    measured = make_run(version="1.24.0", device=run)
    assert resolve(store, measured).matches == ()
    named = resolve(store, measured, f"{baseline}/synapse-1.23.0")
    assert named.matches == () and "is incomparable: " in named.reason and "emulated" in named.reason
    with pytest.raises(UserError, match=f"no such baseline of {run} in"):
        resolve(store, measured, "1.23.0")
