"""What the verdicts of an installation are worth, from its own history."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

from gaudi_perf.vocabulary.run import Run
from tests.cli.conftest import Invoke
from tests.stores.making import make_run

StoreRuns = Callable[[Iterable[Run]], Path]


def nights(
    count: int, runs: int = 5, *, spread: float = 0.003, night: float = 0.004, probed: bool = False, **fields: object
) -> list[Run]:
    """Runs of the same code on several nights, where ``probed`` with probes that tell of nothing unusual."""
    dice, calm = random.Random(str(fields)), random.Random("probes")
    made = []
    for number in range(count):
        day = f"{1 + number % 28:02d}"
        session = f"202601{day}T120000.000000Z-{number:08x}"
        luck = dice.gauss(0, night)
        for index in range(runs):
            level = 1 + luck + dice.gauss(0, spread)
            latencies = [level * (1 + dice.gauss(0, spread)) for _ in range(6)]
            made.append(
                make_run(
                    latencies,
                    probes=[0.02 * (1 + calm.gauss(0, 0.003)) for _ in latencies] if probed else None,
                    session=session,
                    run_id=f"{session}-{dice.getrandbits(32):08x}",
                    started_at=f"2026-01-{day}T12:{index:02d}:00Z",
                    **fields,  # type: ignore[arg-type]
                )
            )
    return made


def test_a_quiet_history_has_few_false_alarms_and_finds_small_slowdowns(invoke: Invoke, store_runs: StoreRuns) -> None:
    directory = store_runs([*nights(20, probed=True), *nights(20, spread=0.2, graphs=False)])
    done = invoke("audit", "--results-dir", directory, "--repeats", 60)
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line.split() for line in done.output.splitlines() if line.startswith("bloomz7b-1x")}
    quiet, noisy = rows["bloomz7b-1x-graphs-kvcache"], rows["bloomz7b-1x-eager-kvcache"]
    assert quiet[1] == "100/20" and quiet[2:5] == ["5", "of", "5"]
    assert float(quiet[5].rstrip("%")) <= 2.0
    finds = done.output.splitlines()
    assert any(
        line.startswith("bloomz7b-1x-graphs-kvcache") and (" 5 % " in line or " 10 % " in line) for line in finds
    )
    assert " over 50 %" in " ".join(noisy) or " 50 %" in " ".join(noisy)
    assert "0.5 % is permitted" in done.output
    assert "noise: estimated from the sessions that a comparison does not draw" in done.output
    assert "quiet server" not in done.output


def test_noise_is_learned_as_in_the_suite(invoke: Invoke, store_runs: StoreRuns) -> None:
    """Nights that lie 4 % apart: what is assumed of a quiet server would raise an alarm in every fifth comparison."""
    directory = store_runs([*nights(25, night=0.04, spread=0.002), *nights(8, graphs=False)])
    done = invoke("audit", "--results-dir", directory, "--repeats", 80)
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line.split() for line in done.output.splitlines() if line.startswith("bloomz7b-1x")}
    assert float(rows["bloomz7b-1x-graphs-kvcache"][5].rstrip("%")) <= 4.0, done.output
    assert (
        "that of a quiet server for bloomz7b-1x-eager-kvcache; the suite estimates it from ten other sessions on"
        in done.output
    )


def test_side_by_side_is_replayed_in_pairs(invoke: Invoke, store_runs: StoreRuns) -> None:
    directory = store_runs(nights(10))
    done = invoke("audit", "--results-dir", directory, "--repeats", 40, "--side-by-side", "--candidates", 5)
    assert done.exit_code == 0 and "5+5 pairs" in done.output


def test_a_history_that_is_too_short_is_one_sentence(invoke: Invoke, store_runs: StoreRuns) -> None:
    directory = store_runs(nights(1, runs=3))
    done = invoke("audit", "--results-dir", directory)
    assert done.exit_code == 2
    (sentence,) = done.output.splitlines()
    assert "too short" in sentence and "3 runs of 1 session" in sentence and "--candidates" in sentence


def test_runs_of_other_stacks_and_invalid_runs_are_kept_apart(invoke: Invoke, store_runs: StoreRuns) -> None:
    directory = store_runs([*nights(8), make_run(version="1.21.0"), make_run(problems=["throttled"])])
    done = invoke("audit", "--results-dir", directory, "--repeats", 20)
    assert done.exit_code == 0
    assert "40/8" in done.output
    assert (
        "too short: gaudi2 synapse-1.21.0 bloomz7b-1x-graphs-kvcache: 1 run of 1 session: the history has 1 run, and"
        in done.output
    )
    assert "left out, INVALID or never steady: 1 run" in done.output


def test_nothing_to_audit(invoke: Invoke, store_runs: StoreRuns) -> None:
    directory = store_runs(nights(1))
    done = invoke("audit", "--results-dir", directory, "--case", "bloomz176b")
    assert done.exit_code == 2 and "the filters leave none of them" in done.output
