"""Every way in which a group of ranks may be lost, at every moment: it is reported within seconds, and nothing is left.

``GAUDI_PERF_FAULT_REPETITIONS=20`` repeats each, for each rank at each moment; what is left is counted by the fixture
after every one. Without it there are fewer: one rank is lost at each moment, and one hangs in the rounds only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.processes import alive, marked
from gaudi_perf.workers.controller.workspace import Workspace
from tests.ranks.conftest import ROOT, Left, MakeGroup, prepare, processes_of, rounds

Inject = Callable[..., None]

REPETITIONS = int(os.environ.get("GAUDI_PERF_FAULT_REPETITIONS", "1"))
GONE_WITHIN = 30.0  # seconds: far below the deadlines, and above what a busy machine takes for the promised 5
QUICK = Deadlines(start=60, load=60, round=60)
SOON = 3.0  # seconds: the deadline at which a hang is found
MOMENTS = {
    "load": {"phase": "load"},
    "warm-up": {"phase": "generate", "after": 0},
    "rounds": {"phase": "generate", "after": 3},
}
EACH = [(moment, rank) for moment in MOMENTS for rank in (0, 1)]
LOSSES = [("load", 1), ("warm-up", 0), ("rounds", 1)] if REPETITIONS == 1 else EACH
HANGS = LOSSES[2:] if REPETITIONS == 1 else EACH
ERRORS = LOSSES[1:] if REPETITIONS == 1 else EACH

pytestmark = pytest.mark.parametrize("repetition", range(REPETITIONS))


def run_into(group: WorkerGroup, hangs_in: str = "") -> GroupFailure:
    """Start, load, warm up and time rounds until something fails."""
    with pytest.raises(GroupFailure) as failure:
        group.start()
        _wait_for_imports(group)  # which the deadline of loading would have to allow for
        group.load()
        prepare(group)
        rounds(group, 2, "warm-up", SOON if hangs_in == "warm-up" else None)
        rounds(group, 3, "rounds", SOON if hangs_in == "rounds" else None)
    return failure.value


def _wait_for_imports(group: WorkerGroup) -> None:
    """Wait until a rank has made the file in which they meet, or has ended before."""
    until = time.monotonic() + 60
    meeting = group.directory / "meeting"
    while time.monotonic() < until and not meeting.exists() and processes_of(group, "gaudi_perf.workers.rank.rank"):
        time.sleep(0.1)


def gone_after(group: WorkerGroup) -> float:
    """Seconds that it takes to end the group; every process of it must be gone."""
    begin = time.monotonic()
    group.close()
    assert alive(marked(str(group.processes.log_path.parent))) == []
    return time.monotonic() - begin


@pytest.mark.parametrize(("moment", "rank"), LOSSES)
def test_a_killed_rank(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="kill", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert failure.phase == moment
    assert re.fullmatch(rf"rank {rank} \(process \d+ on \S+\) was killed by SIGKILL .* in {moment}", failure.sentence)
    assert f"[rank {rank}] injected: kill" in failure.log
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize(("moment", "rank"), LOSSES)
def test_a_frozen_rank(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="freeze", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert failure.phase == moment
    assert re.match(rf"rank {rank} \(process \d+ on \S+\) was frozen by a signal in {moment}", failure.sentence)
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize(("moment", "rank"), HANGS)
def test_a_rank_that_hangs(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="hang", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=Deadlines(start=60, load=8 if moment == "load" else 60, round=60))
    failure = run_into(group, moment)
    assert failure.phase == moment
    assert f"gave no answer in {moment} within" in failure.sentence
    assert f"rank {rank} (process" in failure.sentence, "it is distinguished from those that wait for it"
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize(("moment", "rank"), ERRORS)
def test_an_error_in_a_rank(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="raise", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert failure.phase == moment and "RuntimeError: injected failure" in failure.sentence
    assert f"rank {rank}" in failure.sentence
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_does_not_end_when_it_is_asked(
    make_group: MakeGroup, injected: Inject, rank: int, repetition: int
) -> None:
    injected()
    group = make_group(2, deadlines=QUICK)
    group.start()
    group.load()
    processes_of(group, "gaudi_perf.workers.rank.rank")[rank].suspend()
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_cannot_import(make_group: MakeGroup, injected: Inject, rank: int, repetition: int) -> None:
    injected(kind="exit", phase="import", rank=rank)
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert re.match(rf"rank {rank} \(process \d+ on \S+\) ended with exit status 3 in (start|load)", failure.sentence)
    assert gone_after(group) < GONE_WITHIN


SESSION = [
    *("-m", "pytest", "perf_tests", "-q", "-p", "no:cacheprovider", "-k", "bloomz7b-2x-eager-kvcache"),
    *("--accelerator", "cpu", "--devices", "2", "--new-tokens", "4", "--rounds", "400", "--time-budget", "60"),
]
AT = {"load": "bloomz7b-2x: importing", "warm-up": "bloomz7b-2x-eager-kvcache-n4: warm-up round", "rounds": ": round "}
"""What a session notes of the moment that it is at."""


@pytest.mark.parametrize("moment", AT)
def test_a_killed_pytest(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, moment: str, repetition: int
) -> None:
    temporary = tmp_path_factory.mktemp("k")
    before = Left.now(temporary)
    script = {"engine": "scripted", "sleep": True, "seconds": {"eager": 0.5 if moment == "warm-up" else 0.1}}
    path = os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)])
    variables = {"TMPDIR": str(temporary), "GAUDI_PERF_INJECTED": json.dumps(script), "PYTHONPATH": path}
    with (tmp_path / "output").open("wb") as output:
        session = subprocess.Popen(
            [sys.executable, *SESSION, "--results-dir", str(tmp_path / "results")],
            cwd=ROOT, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    _wait_until_it_is_at(temporary, AT[moment], session)
    (place,) = [str(path) for path in temporary.glob("gaudi-perf-*/0/group1")]
    left = marked(place)
    assert any("gaudi_perf.workers.rank.rank" in process.cmdline() for process in left)
    session.kill()
    session.wait()
    until = time.monotonic() + GONE_WITHIN
    while alive([*left, *marked(place)]) and time.monotonic() < until:  # one that is ending has no environment
        time.sleep(0.1)
    assert alive([*left, *marked(place)]) == []
    next_one = Workspace(temporary)
    next_one.close()
    (sentence,) = next_one.earlier
    assert f"(process {session.pid}, begun 20" in sentence and "was killed before its end at: " in sentence
    assert AT[moment] in sentence
    assert Left.now(temporary) == before


def _wait_until_it_is_at(temporary: Path, text: str, session: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and session.poll() is None:
        if any(text in path.read_text() for path in temporary.glob("gaudi-perf-*/doing")):
            return
        time.sleep(0.05)
    raise AssertionError(f"the session never came to {text!r}")
