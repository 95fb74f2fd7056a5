"""Where baselines are refreshed, runs that never become steady are measured once more, by workers of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.results import read_run
from gaudi_perf.vocabulary.run import in_order
from tests.suite.conftest import Scripted, Suite

STORED = ["--new-tokens", "4", "--rounds", "3", "--runs", "3", "--refresh-baselines"]
STEADY, DRIFTING = "bloomz7b-1x-eager-kvcache-n4", "bloomz7b-1x-eager-nocache-n4"


@pytest.mark.parametrize(
    ("drifting", "steady", "why"),
    [
        ([2], [True, False, True, True], ""),
        (range(1, 99), [False] * 6, "0 of 6 runs can be used, and a baseline needs 3: measure more"),
    ],
)
def test_only_the_case_that_drifts_is_measured_again(
    suite: Suite, scripted: Scripted, tmp_path: Path, drifting: Sequence[int], steady: list[bool], why: str
) -> None:
    loads = tmp_path / "loads"
    drift = {"loads": list(drifting), "when": ["nocache"], "by": 0.05}
    outcome = suite("-k", "bloomz7b-1x-eager", *STORED, injected=scripted(drift=drift, count_loads=str(loads)))
    assert outcome.status == bool(why), outcome.output
    runs = in_order(read_run(path) for path in outcome.results.glob("*/run-*.json"))
    assert sorted(run.steady for run in runs if run.case.id == DRIFTING) == sorted(steady)
    assert [run.steady for run in runs if run.case.id == STEADY] == [True] * 3
    assert len(loads.read_text().splitlines()) == len(steady), "each pass has a fresh worker"
    stored = {case.id: case.runs for case in BaselineStore(suite.baselines).read("cpu", "torch-2.13.0").cases}
    assert {case: len(those) for case, those in stored.items()} == {STEADY: 3, **({} if why else {DRIFTING: 3})}
    assert all(run.measurement.warm_up.steady for those in stored.values() for run in those)
    assert why in " ".join(outcome.output.split())
