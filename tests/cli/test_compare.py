from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import apply, plan_refresh
from gaudi_perf.vocabulary.run import Run
from tests.cli.conftest import PUBLISHED, Invoke
from tests.stores.making import make_runs


def _row(output: str, *parts: str) -> str:
    rows = [line for line in output.splitlines() if all(part in line.split() for part in parts)]
    assert len(rows) == 1, output
    return rows[0]


def test_gaudis_published_regression_is_told(invoke: Invoke) -> None:
    done = invoke("compare", "gaudi/synapse-1.10.0", "gaudi/synapse-1.8.0", "--baselines-dir", PUBLISHED, "--exit-code")
    assert done.exit_code == 0  # no spread is known, so nothing is called REGRESSED
    assert "9.6 % slower" in _row(done.output, "bloomz7b-8x-graphs-kvcache")
    assert "16.7 % faster" in _row(done.output, "bloomz7b-1x-graphs-kvcache")
    assert "REGRESSED" not in done.output and "IMPROVED" not in done.output
    assert "no spread: two published numbers" in done.output


def test_gaudi2_is_faster_everywhere(invoke: Invoke) -> None:
    done = invoke("compare", "gaudi2/synapse-1.10.0", "gaudi2/synapse-1.8.0", "--baselines-dir", PUBLISHED)
    assert done.exit_code == 0
    for case, change in (("bloomz176b-8x", "16.5"), ("bloomz7b-8x", "0.4"), ("bloomz7b-1x", "27.6")):
        assert f"{change} % faster" in _row(done.output, f"{case}-graphs-kvcache")


@pytest.mark.parametrize("sides", [("1.10.0", "1.8.0"), ("synapse-1.10.0", "synapse-1.8")])
def test_stack_stands_for_every_device_that_has_it(sides: tuple[str, str], invoke: Invoke) -> None:
    done = invoke("compare", *sides, "--baselines-dir", PUBLISHED, "--case", "bloomz7b-8x")
    assert "9.6 % slower" in _row(done.output, "gaudi")
    assert "0.4 % faster" in _row(done.output, "gaudi2")
    assert "bloomz7b-1x" not in done.output


def test_slowest_change_comes_first(invoke: Invoke) -> None:
    output = invoke("compare", "gaudi2/synapse-1.10.0", "gaudi2/synapse-1.8.0", "--baselines-dir", PUBLISHED).output
    assert output.index("0.4 % faster") < output.index("16.5 % faster") < output.index("27.6 % faster")


def test_what_has_no_partner_is_named(invoke: Invoke) -> None:
    done = invoke("compare", "gaudi2/synapse-1.9.0-preview", "gaudi2/synapse-1.8.0", "--baselines-dir", PUBLISHED)
    assert "gaudi2 bloomz7b-1x-graphs-kvcache: only in gaudi2/synapse-1.8.0" in done.output


def test_other_devices_are_never_compared(invoke: Invoke) -> None:
    done = invoke("compare", "gaudi2/synapse-1.8.0", "gaudi/synapse-1.8.0", "--baselines-dir", PUBLISHED)
    assert done.exit_code == 2
    assert "no case of the same device in common" in done.output


def test_markdown(invoke: Invoke) -> None:
    done = invoke("compare", "gaudi/1.10", "gaudi/synapse-1.8.0", "--baselines-dir", PUBLISHED, "--markdown")
    assert done.exit_code == 2  # a file's name has the whole stack
    done = invoke("compare", "1.10", "1.8", "--baselines-dir", PUBLISHED, "--markdown")
    assert "| gaudi | bloomz7b-8x-graphs-kvcache | 3.32 s | 3.03 s | 9.6 % slower | no spread |" in done.output


PROBES = [0.02] * 5
StoreRuns = Callable[[Iterable[Run]], Path]


@pytest.mark.parametrize(
    ("level", "words", "status"), [(1.2, "REGRESSED", 1), (0.8, "IMPROVED", 0), (1.0, "UNCHANGED", 0)]
)
def test_runs_against_a_baseline_get_interval_and_verdict(
    level: float, words: str, status: int, invoke: Invoke, store_runs: StoreRuns, tmp_path: Path
) -> None:
    apply(plan_refresh(BaselineStore(tmp_path / "baselines"), make_runs(1.0, probes=PROBES)))
    results = store_runs(make_runs(level, session="later", version="1.23.0", probes=PROBES))
    done = invoke("compare", results, "gaudi2/synapse-1.22.0", "--baselines-dir", tmp_path / "baselines", "--exit-code")
    row = _row(done.output, "bloomz7b-1x-graphs-kvcache")
    assert words in row and "[" in row
    assert done.exit_code == status
    assert "driver 1.22.0 -> 1.23.0" in done.output


def test_runs_against_a_published_number(invoke: Invoke, store_runs: StoreRuns) -> None:
    results = store_runs(make_runs(0.5, version="1.10.0"))
    done = invoke("compare", results, "gaudi2/synapse-1.10.0", "--baselines-dir", PUBLISHED)
    assert "IMPROVED" in _row(done.output, "bloomz7b-1x-graphs-kvcache")
    done = invoke("compare", "gaudi2/synapse-1.10.0", results, "--baselines-dir", PUBLISHED)
    assert "REGRESSED" in _row(done.output, "bloomz7b-1x-graphs-kvcache")


def test_incomparable_entries_name_the_differing_fields(invoke: Invoke, store_runs: StoreRuns, tmp_path: Path) -> None:
    apply(plan_refresh(BaselineStore(tmp_path / "baselines"), make_runs(1.0, cpu="Xeon 8380")))
    results = store_runs(make_runs(1.0, cpu="EPYC 7763", new_tokens=50))
    done = invoke("compare", results, "1.22.0", "--baselines-dir", tmp_path / "baselines")
    assert "incomparable" in _row(done.output, "bloomz7b-1x-graphs-kvcache-n50")
    assert "new tokens 50 is not 100" in done.output and "host class" in done.output


def test_invalid_runs_are_left_out_and_named(invoke: Invoke, store_runs: StoreRuns) -> None:
    results = store_runs(make_runs(1.0, count=1, problems=["a graph was compiled"]))
    done = invoke("compare", results, "gaudi2/synapse-1.10.0", "--baselines-dir", PUBLISHED)
    assert done.exit_code == 2 and "a graph was compiled" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gaudi2/synapse-9.9.9", "1.8.0"), "no such baseline"),
        (("nonsense", "1.8.0"), "a device and a stack (gaudi2/"),
        (("1.10.0", "1.8.0", "--case", "bloomz9"), "no case of the same device"),
        (("1.10.0", "1.8.0", "--tolerance", "much"), "--tolerance much"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], words: str, invoke: Invoke) -> None:
    done = invoke("compare", *arguments, "--baselines-dir", PUBLISHED)
    assert done.exit_code == 2
    assert words in done.output and len(done.output.strip().splitlines()) == 1
