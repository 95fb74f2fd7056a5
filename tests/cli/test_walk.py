"""A release is measured, looked at, refreshed, waived and verified."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gaudi_perf.vocabulary.baseline import Baseline
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.run import Run
from tests.cli.conftest import PUBLISHED, Invoke
from tests.stores.making import make_run, make_runs

CASE = "bloomz7b-8x-graphs-kvcache"
StoreRuns = Callable[[Iterable[Run]], Path]


def test_from_measurement_to_waiver(invoke: Invoke, store_runs: StoreRuns, tmp_path: Path) -> None:
    kept = ("--baselines-dir", tmp_path / "baselines")
    old = store_runs([*make_runs(1.0, devices=8, session="a"), *make_runs(2.0, session="a")]) / "a"
    assert invoke("baselines", "list", *kept).exit_code == 2  # there is nothing yet

    done = invoke("baselines", "refresh", old, "--dry-run", *kept)
    assert done.exit_code == 0 and f"{CASE}: new at 1.00 s" in done.output and "would be accepted" in done.output
    assert not (tmp_path / "baselines").exists()
    done = invoke("baselines", "refresh", old, *kept)
    assert done.exit_code == 0 and "2 of 2 cases are accepted" in done.output
    assert (tmp_path / "baselines/gaudi2/synapse-1.22.0.json").is_file()
    assert "no file changes" in invoke("baselines", "refresh", old, *kept).output

    new = store_runs([*make_runs(1.08, devices=8, version="1.23.0", session="b")]) / "b"
    done = invoke("baselines", "diff", new, *kept)
    assert done.exit_code == 0
    assert "8.0 % slower than synapse-1.22.0" in done.output and "0 of 1 cases would be accepted" in done.output
    done = invoke("baselines", "refresh", new, *kept)
    assert done.exit_code == 1 and "--accept-regression" in done.output
    assert not (tmp_path / "baselines/gaudi2/synapse-1.23.0.json").exists()
    done = invoke("baselines", "refresh", new, "--accept-regression", "collectives", *kept)
    assert done.exit_code == 0 and "accepted: collectives" in done.output
    done = invoke("baselines", "show", "gaudi2/synapse-1.23.0", *kept)
    assert (
        "8.0 % slower than synapse-1.22.0: collectives" in done.output
        and "8.0 % slower than the best, 1.00 s of" in done.output
    )

    assert "no waivers" in invoke("baselines", "waive", "--list", *kept).output
    waiver = ("--device", "gaudi2", "--until", "1.23.0", "--reason", "known; mended in 1.24", "--up-to", "10%")
    done = invoke("baselines", "waive", CASE.replace("bloomz", "bloom"), *waiver, *kept)
    assert done.exit_code == 2 and "the models are bloomz176b" in done.output
    done = invoke("baselines", "waive", CASE, *waiver, *kept)
    assert done.exit_code == 0 and "before synapse-1.23.0" in done.output
    listed = invoke("baselines", "waive", "--list", *kept).output
    assert CASE in listed and "10 %" in listed and "known; mended in 1.24" in listed

    assert "expired on synapse-1.23.0" in listed  # that is stored already
    assert "expired on synapse-1.23.0" in invoke("baselines", "list", *kept).output
    done = invoke("baselines", "verify", *kept)
    assert done.exit_code == 0 and "well-formed: 2 baselines and 1 waiver" in done.output
    assert "it fails again there" in done.output  # 1.23.0 is stored already
    assert invoke("baselines", "waive", CASE, "--device", "gaudi2", "--remove", *kept).exit_code == 0
    assert invoke("baselines", "waive", CASE, "--device", "gaudi2", "--remove", *kept).exit_code == 2

    broken = tmp_path / "baselines/gaudi2/synapse-1.22.0.json"
    broken.write_bytes(broken.read_bytes()[:100])
    (tmp_path / "baselines/waivers.json").write_text("{")
    done = invoke("baselines", "verify", *kept)
    assert done.exit_code == 1 and "2 problems" in done.output and "synapse-1.22.0.json" in done.output


def test_refresh_takes_several_runs_and_only_the_cases_that_are_asked_for(
    invoke: Invoke, store_runs: StoreRuns, tmp_path: Path
) -> None:
    kept = ("--baselines-dir", tmp_path / "baselines")
    results = store_runs([*make_runs(1.0, devices=8, count=3), *make_runs(1.0)])
    done = invoke("baselines", "refresh", results, *kept)
    assert done.exit_code == 1 and "a baseline needs 5" in done.output
    done = invoke("baselines", "refresh", results, "--case", "8x", "--minimum-runs", 3, *kept)
    assert done.exit_code == 0 and "1 of 1 cases" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("refresh", "nowhere"), "no such results directory"),
        (("diff", "nowhere"), "no such results directory"),
        (("show", "gaudi2"), "write a device and a stack"),
        (("show", "gaudi2/synapse-1.8.1"), "did you mean 'synapse-1.8.0'"),
        (("show", "../x/synapse-1.8.0"), "no"),
        (("list", "--device", "gaudi9"), "there are: a100-80gb, gaudi, gaudi2"),
        (("list", "--baselines-dir", "/nowhere"), "no such directory"),
        (("waive",), "name the case"),
        (("waive", CASE), "--device is missing"),
        (("waive", CASE, "--device", "gaudi2"), "--until is missing"),
        (("waive", CASE, "--device", "gaudi2", "--until", "1.25"), "--reason is missing"),
        (("waive", "x", "--device", "gaudi2", "--until", "1.25", "--reason", "r"), "not a case id"),
        (("waive", CASE, "--device", "g", "--until", "soon", "--reason", "r"), "'soon' is not a version"),
        (("waive", CASE, "--device", "g", "--until", "1", "--reason", "r", "--up-to", "x"), "--up-to x"),
        (("waive", CASE, "--device", "g", "--until", "1", "--reason", "r", "--kind", "x"), "--kind x"),
        (("import", "x", "--format", "optimum-habana", "--stack", "synapse-1.22.0"), "--day is missing"),
        (("import", "x", "--format", "pytest-benchmark", "--stack", "synapse-1.22.0"), "--device is missing"),
        (("import", "x", "--format", "optimum-habana", "--stack", "habana-1"), "--stack habana-1"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], words: str, invoke: Invoke) -> None:
    where = () if "--baselines-dir" in arguments else ("--baselines-dir", str(PUBLISHED))
    done = invoke("baselines", *arguments, *where)
    assert done.exit_code == 2
    assert words in done.output and len(done.output.strip().splitlines()) == 1


def test_published_baselines_verify(invoke: Invoke) -> None:
    done = invoke("baselines", "verify", "--baselines-dir", PUBLISHED)
    assert done.exit_code == 0, done.output


def test_list_and_show_and_the_stored_document(invoke: Invoke) -> None:
    listed = invoke("baselines", "list", "--baselines-dir", PUBLISHED, "--device", "gaudi2").output
    assert listed.index("synapse-1.8.0") < listed.index("synapse-1.9.0-preview") < listed.index("synapse-1.10.0")
    done = invoke("baselines", "show", "gaudi2/synapse-1.8.0", "--json", "--baselines-dir", PUBLISHED)
    assert decode(done.output.encode(), Baseline, "shown") == decode(
        (PUBLISHED / "gaudi2/synapse-1.8.0.json").read_bytes(), Baseline, "stored"
    )


def test_import_adds_and_never_replaces(invoke: Invoke, tmp_path: Path) -> None:
    kept = ("--baselines-dir", tmp_path / "baselines")
    file = tmp_path / "results.json"
    file.write_text('{"throughput": 100.0}')
    options = ("--format", "run-generation", "--case", CASE, "--device", "gaudi2", "--stack", "synapse-1.22.0")
    done = invoke("baselines", "import", file, *options, "--day", "2026-01-31", "--dry-run", *kept)
    assert done.exit_code == 0 and f"gaudi2/synapse-1.22.0 {CASE}: 1 s, published" in done.output
    assert not (tmp_path / "baselines").exists()
    assert invoke("baselines", "import", file, *options, "--day", "2026-01-31", *kept).exit_code == 0
    file.write_text('{"throughput": 50.0}')
    done = invoke("baselines", "import", file, *options, "--day", "2026-01-31", *kept)
    assert done.exit_code == 2 and "is there already at 1 s" in done.output


def test_refresh_is_judged_as_pytest_judges(invoke: Invoke, store_runs: StoreRuns, tmp_path: Path) -> None:
    """4 % slower is within the margin; where it is certain, it is slower all the same, and needs a reason."""
    kept = ("--baselines-dir", tmp_path / "baselines")

    def measured(level: float) -> Path:
        """Thirty runs of one session, so that no night-to-night variation lies between them."""
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
        return store_runs([run for _ in range(6) for run in make_runs(level)])

    assert invoke("baselines", "refresh", measured(1.0), *kept).exit_code == 0
    results = measured(1.04)
    assert "REGRESSED" in invoke("compare", results, "gaudi2/synapse-1.22.0", *kept).output
    done = invoke("baselines", "diff", results, *kept)
    assert "slower: 4.0 % slower" in done.output and "1 refused" in done.output
    results = store_runs([make_run([0.9, 1.04, 1.2], session="c")]) / "c"  # too little to tell: the margin decides
    assert "INCONCLUSIVE" in invoke("compare", results, "gaudi2/synapse-1.22.0", *kept).output
    done = invoke("baselines", "diff", results, "--minimum-runs", 1, *kept)
    assert "unchanged: medians 4.0 % slower" in done.output and "1 of 1 cases would be accepted" in done.output
