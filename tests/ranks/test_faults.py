"""Every way in which a group of ranks may be lost, at every moment: it is told, within seconds, and nothing is left.

``GAUDI_PERF_FAULT_REPETITIONS=20`` repeats each; what is left is counted by the fixture after every one. Without it,
one rank is lost at each moment, in place of each rank at each.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gaudi_perf.runtime.group import GroupFailure, WorkerGroup
from gaudi_perf.runtime.plan import Deadlines
from gaudi_perf.runtime.processes import alive, marked
from tests.ranks.conftest import ROOT, MakeGroup, prepare, processes_of, rounds

Inject = Callable[..., None]

REPETITIONS = int(os.environ.get("GAUDI_PERF_FAULT_REPETITIONS", "1"))
GONE_WITHIN = 5.0  # seconds, promised
QUICK = Deadlines(start=60, load=60, round=60)
MOMENTS = {
    "load": {"phase": "load"},
    "warm-up": {"phase": "generate", "after": 0},
    "rounds": {"phase": "generate", "after": 3},
}
WHERE = [(moment, rank) for moment in MOMENTS for rank in (0, 1)]
FEW = [("load", 1), ("warm-up", 0), ("rounds", 1)]


def where(few: list[tuple[str, int]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("moment", "rank"), few if REPETITIONS == 1 else WHERE)


pytestmark = pytest.mark.parametrize("repetition", range(REPETITIONS))


def run_into(group: WorkerGroup, deadline: float | None = None) -> GroupFailure:
    """Start, load, warm up and time rounds until something fails."""
    with pytest.raises(GroupFailure) as failure:
        group.start()
        group.load()
        prepare(group)
        rounds(group, 2, "warm-up", deadline)
        rounds(group, 3, "rounds", deadline)
    return failure.value


def gone_after(group: WorkerGroup) -> float:
    """Seconds that it takes to end the group; every process of it must be gone."""
    begin = time.monotonic()
    group.close()
    assert alive(marked(str(group.log_path.parent))) == []
    return time.monotonic() - begin


@where(FEW)
def test_a_killed_rank(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="kill", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert failure.phase == moment
    assert re.fullmatch(rf"rank {rank} \(process \d+ on \S+\) was killed by SIGKILL .* in {moment}", failure.sentence)
    assert f"[rank {rank}] injected: kill" in failure.log
    assert gone_after(group) < GONE_WITHIN


@where(FEW)
def test_a_frozen_rank(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="freeze", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert failure.phase == moment
    assert re.match(rf"rank {rank} \(process \d+ on \S+\) was frozen by a signal in {moment}", failure.sentence)
    assert gone_after(group) < GONE_WITHIN


@where(FEW[2:])
def test_a_rank_that_hangs(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="hang", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=Deadlines(start=60, load=8, round=8))
    failure = run_into(group, 3.0)
    assert failure.phase == moment
    assert f"gave no answer in {moment} within" in failure.sentence
    assert f"rank {rank} (process" in failure.sentence, "it is told from those that wait for it"
    assert gone_after(group) < GONE_WITHIN


@where(FEW[1:])
def test_an_error_in_a_rank(make_group: MakeGroup, injected: Inject, moment: str, rank: int, repetition: int) -> None:
    injected(kind="raise", rank=rank, **MOMENTS[moment])
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert failure.phase == moment and "RuntimeError: injected failure" in failure.sentence
    assert f"rank {rank}" in failure.sentence
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize("moment", ["load", "rounds"])
def test_a_lost_launcher(make_group: MakeGroup, injected: Inject, moment: str, repetition: int) -> None:
    injected()
    group = make_group(2, deadlines=QUICK)
    group.start()
    if moment == "rounds":
        group.load()
        prepare(group)
    ranks = processes_of(group, "gaudi_perf.runtime.rank")
    assert group.pid is not None
    os.kill(group.pid, signal.SIGKILL)
    with pytest.raises(
        GroupFailure, match=r"the launcher of the ranks \(process \d+\) was killed by SIGKILL"
    ) as failure:
        if moment == "load":
            group.load()
        for _ in range(100):
            rounds(group)
    assert failure.value.phase == moment
    assert psutil.wait_procs(ranks, timeout=GONE_WITHIN)[1] == [], "they end without the controller's help"
    assert gone_after(group) < GONE_WITHIN


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_cannot_import(make_group: MakeGroup, injected: Inject, rank: int, repetition: int) -> None:
    injected(kind="exit", phase="import", rank=rank)
    group = make_group(2, deadlines=QUICK)
    failure = run_into(group)
    assert re.match(rf"rank {rank} \(process \d+ on \S+\) ended with exit status 3 in (start|load)", failure.sentence)
    assert gone_after(group) < GONE_WITHIN


CONTROLLER = """
import sys
from pathlib import Path
from gaudi_perf.runtime.engines import accelerator_named
from gaudi_perf.runtime.group import WorkerGroup
from gaudi_perf.runtime.plan import Deadlines
from gaudi_perf.runtime.protocol import GroupSpec, Prepare, Prepared, Rounds, RoundsDone, Variant
spec = GroupSpec(engine="cpu", model="bloomz7b", devices=2, scale="standin", dtype="float32")
group = WorkerGroup(spec, accelerator_named("cpu", processes=2), Path(sys.argv[1]), Deadlines())
if sys.argv[2] == "start":
    print("there", flush=True)
group.start()
if sys.argv[2] == "load":
    print("there", flush=True)
group.load()
group.ask(Prepare(variant=Variant(graphs=False, kv_cache=True, new_tokens=4)), Prepared, phase="prepare")
print("there", flush=True)
while True:
    group.ask(Rounds(count=3), RoundsDone, phase="rounds")
"""


@pytest.mark.parametrize("moment", ["start", "load", "rounds"])
def test_a_killed_controller(injected: Inject, tmp_path: Path, moment: str, repetition: int) -> None:
    injected()
    place = tmp_path / "g"
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(place), moment], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert controller.stdout is not None and controller.stdout.readline() == "there\n"
    time.sleep(0.5)
    left = marked(str(place))
    assert left
    controller.kill()
    controller.communicate()
    until = time.monotonic() + GONE_WITHIN
    while alive([*left, *marked(str(place))]) and time.monotonic() < until:  # one that is ending has no environment
        time.sleep(0.1)
    assert alive([*left, *marked(str(place))]) == []
