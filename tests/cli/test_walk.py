"""A release is measured, looked at, refreshed, waived and verified."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from gaudi_perf.vocabulary.baseline import Baseline
from gaudi_perf.vocabulary.documents import decode
from tests.cli.conftest import PUBLISHED, Invoke, StoreRuns
from tests.golden_files import Golden
from tests.stores.factories import make_run, make_runs
from tests.stores.test_importing import FIXTURE

CASE = "bloomz7b-8x-graphs-kvcache"


def test_from_measurement_to_waiver(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    store_runs([*make_runs(1.0, devices=8, session="a"), *make_runs(2.0, session="a")])
    assert invoke("baselines", "list").exit_code == 2  # there is nothing yet
    assert invoke("baselines", "refresh", "results/a", "--dry-run").exit_code == 0
    assert not (here / "baselines").exists()
    assert invoke("baselines", "refresh", "results/a").exit_code == 0
    stored = (here / "baselines/gaudi2/synapse-1.22.0.json").read_bytes()
    assert invoke("baselines", "refresh", "results/a").exit_code == 0
    assert (here / "baselines/gaudi2/synapse-1.22.0.json").read_bytes() == stored

    store_runs(make_runs(1.08, devices=8, version="1.23.0", session="b"))
    assert invoke("baselines", "diff", "results/b").exit_code == 1
    assert invoke("baselines", "refresh", "results/b").exit_code == 1
    assert not (here / "baselines/gaudi2/synapse-1.23.0.json").exists()
    assert invoke("baselines", "refresh", "results/b", "--accept-regression", "collectives").exit_code == 0
    assert invoke("baselines", "show", "gaudi2/synapse-1.23.0").exit_code == 0
    golden("baselines/refresh.txt", invoke.transcript, dated=True)

    invoke.transcript = ""
    invoke("baselines", "waive", "--list")
    waiver = ("--device", "gaudi2", "--until", "1.23.0", "--reason", "known; mended in 1.24", "--up-to", "10%")
    assert invoke("baselines", "waive", CASE, *waiver).exit_code == 0
    other = ("--device", "gaudi3", *waiver[2:])
    assert invoke("baselines", "waive", CASE, *other).exit_code == 2  # nobody has measured a gaudi3
    assert invoke("baselines", "waive", CASE, *other, "--unmeasured").exit_code == 0
    assert invoke("baselines", "waive", CASE, "--device", "gaudi3", "--remove").exit_code == 0
    invoke("baselines", "waive", "--list")
    invoke("baselines", "list")
    assert invoke("baselines", "verify").exit_code == 0  # 1.23.0 is stored already: that is noted
    assert invoke("baselines", "waive", CASE, "--device", "gaudi2", "--remove").exit_code == 0
    assert invoke("baselines", "waive", CASE, "--device", "gaudi2", "--remove").exit_code == 2
    for contradiction in (("--list", "--remove"), (CASE, "--list"), (CASE, *waiver, "--remove"), ("--list", *waiver)):
        invoke.mistake("baselines", "waive", *contradiction)
    invoke.mistake("baselines", "waive", CASE, *waiver[:4], "--reason", " ")
    golden("baselines/waive.txt", invoke.transcript, dated=True)

    invoke.transcript = ""
    broken = here / "baselines/gaudi2/synapse-1.22.0.json"
    broken.write_bytes(broken.read_bytes()[:100])
    assert invoke("baselines", "verify").exit_code == 1
    (here / "baselines/waivers.json").write_text("{")
    assert invoke("baselines", "verify").exit_code == 1
    golden("baselines/verify.txt", invoke.transcript)


def test_what_a_pull_request_says_is_empty_where_no_level_changed(
    invoke: Invoke, store_runs: StoreRuns, here: Path
) -> None:
    """A slower level that is refused is no reason for a pull request; beside a faster one it is told."""

    def table(session: str, one: float, eight: float) -> str:
        store_runs([*make_runs(one, session=session), *make_runs(eight, devices=8, session=session)])
        invoke("baselines", "refresh", f"results/{session}", "--markdown", "changes.md")
        return Path("changes.md").read_text()

    assert table("a", 1.0, 0.5).count("| new; ") == 2
    assert table("b", 1.0, 0.6) == ""
    assert "| better; " in (both := table("c", 0.8, 0.6)) and "; refused: " in both


def test_refresh_takes_several_runs_and_only_the_cases_that_are_asked_for(
    invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden
) -> None:
    store_runs(
        [
            *make_runs(1.0, devices=8, count=3),
            make_run(9.0, devices=8, problems=["throttled"]),
            *make_runs(1.0),
            make_run(9.0, steady=False),
        ]
    )
    assert invoke("baselines", "refresh", "results").exit_code == 1
    assert invoke("baselines", "refresh", "results", "--case", "8x", "--minimum-runs", 3).exit_code == 0
    golden("baselines/few_runs.txt", invoke.transcript)


def test_a_level_is_new_better_unchanged_or_slower(
    invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden
) -> None:
    old = {1: 1.0, 2: 1.0, 4: 1.0}
    store_runs(run for devices, level in old.items() for run in make_runs(level, devices=devices, session="old"))
    invoke("baselines", "refresh", "results/old")
    invoke.transcript = ""
    new = {1: 0.8, 2: 1.0, 4: 1.3, 8: 1.0}
    store_runs(
        run
        for devices, level in new.items()
        for run in make_runs(level, devices=devices, session="new", token_ids=(3, 1, 5))
    )
    invoke("baselines", "diff", "results/new")
    invoke("baselines", "refresh", "results/new", "--accept-regression", "collectives, mended in 1.24")
    invoke("baselines", "show", "gaudi2/synapse-1.22.0")
    golden("baselines/kinds.txt", invoke.transcript, dated=True)


def test_mistakes(invoke: Invoke, project: Path, here: Path, golden: Golden) -> None:
    shutil.copytree(project / "baselines", here / "baselines")
    version, reason = ("--until", "1.25"), ("--reason", "r")
    for arguments in (
        ("refresh", "nowhere"),
        ("diff", "nowhere"),
        ("show", "gaudi2"),
        ("show", "gaudi2/synapse-1.8.1"),
        ("show", "../x/synapse-1.8.0"),
        ("list", "--device", "gaudi9"),
        ("list", "--baselines-dir", "nowhere"),
        ("waive",),
        ("waive", CASE),
        ("waive", CASE, "--device", "gaudi2"),
        ("waive", CASE, "--device", "gaudi2", *version),
        ("waive", "x", "--device", "gaudi2", *version, *reason),
        ("waive", CASE.replace("bloomz", "bloom"), "--device", "gaudi2", *version, *reason),
        ("waive", CASE, "--device", "g", "--until", "soon", *reason),
        ("waive", CASE, "--device", "g", *version, *reason, "--up-to", "x"),
        ("waive", CASE, "--device", "g", *version, *reason, "--up-to", "10"),
        ("waive", CASE, "--device", "g", *version, *reason, "--kind", "x"),
        ("import", "x", "--format", "optimum-habana", "--stack", "synapse-1.22.0"),
        ("import", "x", "--format", "pytest-benchmark", "--stack", "synapse-1.22.0"),
        ("import", "x", "--format", "optimum-habana", "--stack", "habana-1"),
    ):
        invoke.mistake("baselines", *arguments)
    golden("baselines/mistakes.txt", invoke.transcript)


def test_the_published_baselines(invoke: Invoke, project: Path, golden: Golden) -> None:
    assert invoke("baselines", "list").exit_code == 0
    invoke("baselines", "list", "--device", "gaudi2")
    invoke("baselines", "show", "gaudi2/synapse-1.8.0")
    assert invoke("baselines", "verify").exit_code == 0
    golden("baselines/published.txt", invoke.transcript)
    done = invoke("baselines", "show", "gaudi2/synapse-1.8.0", "--json")
    assert decode(done.output.encode(), Baseline, "shown") == decode(
        (PUBLISHED / "gaudi2/synapse-1.8.0.json").read_bytes(), Baseline, "stored"
    )


def test_import_adds_and_never_replaces(invoke: Invoke, here: Path, golden: Golden) -> None:
    file = here / "results.json"
    file.write_text('{"throughput": 100.0}')
    options = ("--format", "run-generation", "--case", CASE, "--device", "gaudi2", "--stack", "synapse-1.22.0")
    command = ("baselines", "import", "results.json", *options, "--day", "2026-01-31")
    assert invoke(*command, "--dry-run").exit_code == 0
    assert not (here / "baselines").exists()
    assert invoke(*command).exit_code == 0
    file.write_text('{"throughput": 50.0}')
    assert invoke(*command).exit_code == 2
    (here / "fixture").mkdir()
    (here / "fixture/test_text_generation_example.json").write_text(json.dumps(FIXTURE))
    day = ("--stack", "synapse-1.18.0", "--day", "2025-06-30")
    assert invoke("baselines", "import", "fixture", "--format", "optimum-habana", *day).exit_code == 0
    golden("baselines/import.txt", invoke.transcript)


def test_refresh_is_judged_as_pytest_judges(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    """4 % slower is within the margin; where it is certain, it is slower all the same, and needs a reason."""

    def measure(level: float) -> None:
        """Thirty runs of one session, so that no night-to-night variation lies between them."""
        shutil.rmtree(here / "results", ignore_errors=True)
        store_runs([run for _ in range(6) for run in make_runs(level)])

    measure(1.0)
    assert invoke("baselines", "refresh", "results").exit_code == 0
    measure(1.04)
    assert "REGRESSED" in invoke("compare", "results", "gaudi2/synapse-1.22.0").output
    assert "1 refused" in invoke("baselines", "diff", "results").output
    store_runs([make_run([0.9, 1.04, 1.2], session="c")])  # too little to tell: the margin decides
    assert "INCONCLUSIVE" in invoke("compare", "results/c", "gaudi2/synapse-1.22.0").output
    assert "0 refused" in invoke("baselines", "diff", "results/c", "--minimum-runs", 1).output
    golden("baselines/judged.txt", invoke.transcript, dated=True)
