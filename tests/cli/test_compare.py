from __future__ import annotations

from pathlib import Path

import pytest

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from tests.cli.conftest import Invoke, StoreRuns
from tests.golden_files import Golden
from tests.stores.factories import make_run, make_runs

PROBES = [0.02] * 5


def _row(output: str, *parts: str) -> str:
    rows = [line for line in output.splitlines() if all(part in line.split() for part in parts)]
    assert len(rows) == 1, output
    return rows[0]


def test_published_releases(invoke: Invoke, project: Path, golden: Golden) -> None:
    """No spread is known, so nothing is called REGRESSED; the slowest change comes first."""
    assert invoke("compare", "gaudi/synapse-1.10.0", "gaudi/synapse-1.8.0").exit_code == 0
    assert invoke("compare", "gaudi2/synapse-1.10.0", "gaudi2/synapse-1.8.0").exit_code == 0
    invoke("compare", "gaudi2/synapse-1.9.0-preview", "gaudi2/synapse-1.8.0")
    invoke("compare", "1.10", "1.8", "--markdown")
    golden("compare/published.txt", invoke.transcript)


@pytest.mark.parametrize("sides", [("1.10.0", "1.8.0"), ("synapse-1.10.0", "synapse-1.8")])
def test_stack_stands_for_every_device_that_has_it(sides: tuple[str, str], invoke: Invoke, project: Path) -> None:
    done = invoke("compare", *sides, "--case", "bloomz7b-8x")
    assert "9.6 % slower" in _row(done.output, "gaudi")
    assert "0.4 % faster" in _row(done.output, "gaudi2")
    assert "bloomz7b-1x" not in done.output


@pytest.mark.parametrize(
    ("level", "words", "status"), [(1.2, "REGRESSED", 1), (0.8, "IMPROVED", 0), (1.0, "UNCHANGED", 0)]
)
def test_only_a_regression_has_exit_status_1(
    level: float, words: str, status: int, invoke: Invoke, store_runs: StoreRuns, here: Path
) -> None:
    apply(plan_refresh(BaselineStore(here / "baselines"), Refresh(make_runs(1.0, probes=PROBES))))
    store_runs(make_runs(level, session="later", version="1.23.0", probes=PROBES))
    done = invoke("compare", "results", "gaudi2/synapse-1.22.0")
    assert words in _row(done.output, "bloomz7b-1x-graphs-kvcache")
    assert done.exit_code == status


def test_runs_against_a_baseline(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    """Every verdict; what cannot be compared, with what differs; what is left out, and what has no partner."""
    levels = {1: 1.0, 2: 1.5, 4: 2.0, 8: 3.0}
    old = [run for devices, level in levels.items() for run in make_runs(level, devices=devices, probes=PROBES)]
    old += [*make_runs(1.0, cpu="Xeon 8380", graphs=False), *make_runs(1.0, kv_cache=False)]
    apply(plan_refresh(BaselineStore(here / "baselines"), Refresh(old)))
    new = {"session": "later", "version": "1.23.0"}
    changes = {1: 1.2, 2: 0.8, 4: 1.0}
    runs = [
        run
        for devices, change in changes.items()
        for run in make_runs(levels[devices] * change, devices=devices, probes=PROBES, **new)
    ]
    runs += make_runs(3.15, count=2, devices=8, **new)
    runs += make_runs(1.0, cpu="EPYC 7763", graphs=False, new_tokens=50, **new)
    runs += [make_run(9.0, problems=["a graph was compiled"], **new), make_run(9.0, steady=False, **new)]  # type: ignore[arg-type]
    store_runs(runs)
    assert invoke("compare", "results", "gaudi2/synapse-1.22.0").exit_code == 1
    golden("compare/runs.txt", invoke.transcript)


def test_runs_against_a_published_number(invoke: Invoke, store_runs: StoreRuns, project: Path, golden: Golden) -> None:
    results = store_runs(make_runs(0.5, version="1.10.0"))
    invoke("compare", results, "gaudi2/synapse-1.10.0")
    invoke("compare", "gaudi2/synapse-1.10.0", results)
    golden("compare/published_number.txt", invoke.transcript)


def test_mistakes(invoke: Invoke, store_runs: StoreRuns, project: Path, golden: Golden) -> None:
    results = store_runs(make_runs(1.0, count=1, problems=["a graph was compiled"]))
    for arguments in (
        ("gaudi2/synapse-1.8.0", "gaudi/synapse-1.8.0"),  # other devices are never compared
        ("gaudi/1.10", "gaudi/synapse-1.8.0"),  # a file's name has the whole stack
        ("gaudi2/synapse-9.9.9", "1.8.0"),
        ("nonsense", "1.8.0"),
        ("1.10.0", "1.8.0", "--case", "bloomz9"),
        ("1.10.0", "1.8.0", "--tolerance", "much"),
        ("1.10.0", "1.8.0", "--json", "--markdown"),
        (results, "gaudi2/synapse-1.10.0"),
    ):
        invoke.mistake("compare", *arguments)
    golden("compare/mistakes.txt", invoke.transcript)
