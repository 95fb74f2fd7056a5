"""What the verdicts of an installation are worth, from its own history."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gaudi_perf.vocabulary.run import Run
from tests.cli.conftest import Invoke, StoreRuns
from tests.golden_files import Golden
from tests.stores.factories import make_run


def measured(
    count: int, runs: int = 5, *, spread: float = 0.003, apart: float = 0.004, probed: bool = False, **fields: object
) -> list[Run]:
    """Runs of the same code in several sessions, where ``probed`` with probes that show nothing unusual."""
    dice, calm = random.Random(str(fields)), random.Random("probes")
    made = []
    for number in range(count):
        day = f"{1 + number % 28:02d}"
        session = f"202601{day}T120000.000000Z-{number:08x}"
        luck = dice.gauss(0, apart)
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


def _cells(output: str, case: str) -> list[str]:
    """The row of a case: its runs, what was replayed, false alarms, and so on."""
    (row,) = (line for line in output.splitlines() if line.startswith(f"{case} "))
    return row.split()


def test_a_quiet_history_has_few_false_alarms_and_finds_small_slowdowns(
    invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden
) -> None:
    store_runs([*measured(20, probed=True), *measured(20, spread=0.2, graphs=False)])
    output = invoke("audit", "--repeats", 60).output
    quiet, noisy = (_cells(output, f"bloomz7b-1x-{mode}-kvcache") for mode in ("graphs", "eager"))
    assert float(quiet[5].rstrip("%")) <= 2.0
    assert quiet[10] in ("2", "5", "10"), quiet
    assert noisy[-6] == "50", noisy
    golden("audit/quiet_and_noisy.txt", invoke.transcript)


@pytest.mark.slow
def test_noise_is_learned_as_in_the_suite(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    """Nights that lie 4 % apart: what is assumed of a quiet server would raise an alarm in every fifth comparison."""
    store_runs([*measured(25, apart=0.04, spread=0.002), *measured(8, graphs=False)])
    output = invoke("audit", "--repeats", 80).output
    assert float(_cells(output, "bloomz7b-1x-graphs-kvcache")[5].rstrip("%")) <= 4.0, output
    golden("audit/learned.txt", invoke.transcript)


def test_what_cannot_be_audited(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    """Runs of other stacks and INVALID runs are kept apart; a history that is too short is one sentence."""
    invoke.mistake("audit")
    store_runs(measured(1, runs=3, devices=8))
    done = invoke("audit", "--repeats", 5)
    assert done.exit_code == 1  # nothing is wrong with the call
    hint = done.output.strip().splitlines()[-1].partition(": gaudi-perf ")[2]
    assert invoke(*shlex.split(hint), "--repeats", 5).exit_code == 0
    invoke.mistake("audit", "--case", "bloomz176b")
    store_runs([*measured(10), make_run(version="1.21.0"), make_run(problems=["throttled"])])
    assert invoke("audit", "--repeats", 20).exit_code == 0
    assert invoke("audit", "--repeats", 20, "--side-by-side", "--candidates", 5).exit_code == 0
    golden("audit/short.txt", invoke.transcript)


def test_options_that_contradict_each_other_or_never_end(invoke: Invoke, store_runs: StoreRuns, here: Path) -> None:
    store_runs(measured(2))
    assert "leave it out" in invoke("audit", "--side-by-side", "--baselines", 3).output
    assert invoke("audit", "--repeats", 10**20).exit_code == 2


def test_progress_is_shown_in_a_terminal_alone(store_runs: StoreRuns, here: Path) -> None:
    store_runs(measured(12, runs=2))
    command = [sys.executable, "-m", "gaudi_perf", "audit", "--repeats", "2"]
    ours, theirs = pty.openpty()
    with (here / "shown.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=theirs, cwd=here)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
        while chunk := os.read(ours, 65536):  # all the time, for a full terminal is waited for
            seen += chunk
    os.close(ours)
    assert process.wait() == 0 and b"replaying" in seen
    piped = subprocess.run(command, capture_output=True, cwd=here, text=True, check=False)
    assert (piped.stdout, piped.stderr) == ((here / "shown.txt").read_text(), "")
