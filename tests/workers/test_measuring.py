"""Runs of cases in real workers with the scripted engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from gaudi_perf import protocol
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.group import GroupFailure
from gaudi_perf.workers.controller.measuring import Measurer, joined
from gaudi_perf.workers.controller.plan import Deadlines, MeasurementPlan
from tests.workers.conftest import left_processes

Make = Callable[..., Measurer]


@pytest.fixture
def make(injected: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    place = tmp_path_factory.mktemp("m")
    made: list[Measurer] = []

    def make(notify: Callable[[str], None] = lambda text: None, **plan: Any) -> Measurer:
        chosen = MeasurementPlan(**{"rounds": 4, "minimum_rounds": 3, "token_rounds": 2, "budget_s": 30.0, **plan})
        deadlines = Deadlines(start=30, load=20, round=20)
        weights = protocol.Weights()
        made.append(Measurer(CpuAccelerator(), weights, chosen, deadlines, place / str(len(made)), "session-1", notify))
        return made[-1]

    yield make
    for measurer in made:
        measurer.end_group()
    assert left_processes(str(place)) == []


def case(model: str = "bloomz7b", graphs: bool = False, new_tokens: int = 4) -> Case:
    return Case(
        configuration=Configuration(model=model, devices=1, graphs=graphs, kv_cache=True),
        accelerator="cpu",
        workload=Workload(new_tokens=new_tokens),
        scale="standin",
    )


def loads(told: list[str]) -> int:
    return sum(line.endswith(": loading") for line in told)


def test_a_run_is_whole(make: Make) -> None:
    told: list[str] = []
    with make(told.append) as measurer:
        run = measurer.measure(case())
    measured = run.measurement
    assert len(measured.latencies_s) == 4 and min(measured.latencies_s) >= 0.010
    assert measured.probes_s is not None and len(measured.probes_s) == 4
    assert measured.warm_up.latencies_s and measured.warm_up.reason
    assert measured.token_times is not None and len(measured.token_times.first_token_s) == 2
    assert measured.token_ids == [1, 2, 3, 4] and not measured.problems
    assert measured.peak_memory_bytes == 1_000_000
    phases = {"start", "load", "prepare", "first round", "warm-up", "rounds", "token rounds", "check of the outputs"}
    assert set(measured.phases_s) == phases
    assert run.session_id == "session-1" and run.run_id.startswith("session-1-")
    assert run.case == case() and run.device.name == "cpu" and run.host.cores >= 1
    assert any("starting a worker" in line for line in told) and any("round 4/4" in line for line in told)


def test_cases_of_a_group_share_its_load(make: Make) -> None:
    told: list[str] = []
    with make(told.append) as measurer:
        first, second = measurer.measure(case()), measurer.measure(case(graphs=True))
        assert loads(told) == 1
        assert "load" in first.measurement.phases_s and "load" not in second.measurement.phases_s
        measurer.measure(case("bloomz560m"))
        assert loads(told) == 2
        measurer.end_group()
        measurer.measure(case("bloomz560m"))
        assert loads(told) == 3, "a run after the end of its group has a fresh one"
    assert first.run_id != second.run_id


def test_only_one_worker_at_a_time_and_none_at_the_end(make: Make) -> None:
    with make() as measurer:
        measurer.measure(case())
        assert measurer._group is not None and measurer._group.processes.pid is not None
        pid = measurer._group.processes.pid
        measurer.measure(case("bloomz560m"))
        assert not psutil.pid_exists(pid)


def test_no_token_rounds_no_token_times(make: Make) -> None:
    with make(token_rounds=0) as measurer:
        assert measurer.measure(case()).measurement.token_times is None


def test_a_spent_budget_ends_rounds_but_not_before_the_minimum(make: Make) -> None:
    with make(rounds=500, minimum_rounds=3, budget_s=0.001) as measurer:
        measured = measurer.measure(case()).measurement
    assert 3 <= len(measured.latencies_s) < 500


def test_a_warm_up_that_never_gets_steady_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from gaudi_perf.statistics.warmup import SteadyState

    monkeypatch.setattr(
        "gaudi_perf.workers.controller.measuring.steady_start", lambda rounds: SteadyState(None, "drifts")
    )
    with make(warm_up_limit=7) as measurer:
        warm_up = measurer.measure(case()).measurement.warm_up
    assert not warm_up.steady and len(warm_up.latencies_s) == 7
    assert "not steady after 7 rounds, the limit: drifts" in warm_up.reason


def test_a_failure_ends_the_group_and_the_next_case_has_a_fresh_one(make: Make, injected: Callable[..., None]) -> None:
    injected(fault={"kind": "kill", "phase": "prepare"})
    with make() as measurer:
        with pytest.raises(GroupFailure) as failure:
            measurer.measure(case())
        assert failure.value.phase == "prepare" and "SIGKILL" in failure.value.sentence
        injected()
        again = measurer.measure(case())
        assert again.steady and "load" in again.measurement.phases_s


def done(*tokens: int, **more: Any) -> protocol.RoundsDone:
    words = {"latencies_s": [1.0], "rows": [list(tokens)], "same_tokens": True, "probes_s": [0.1], **more}
    return protocol.RoundsDone(**words)


def test_rounds_that_give_other_tokens_are_a_problem() -> None:
    assert joined([done(1, 2), done(1, 2)]).problems == []
    assert joined([done(1, 2), done(1, 3), done(1, 2)]).problems == ["the rounds did not give the same tokens"]
    assert joined([done(1, same_tokens=False)]).problems == ["the rounds did not give the same tokens"]


def test_batches_of_rounds_add_up() -> None:
    batches = [
        done(1, rank_latencies_s=[[1.0], [0.9]], peak_memory_bytes=5, problems=["throttled"]),
        done(1, rank_latencies_s=[[2.0], [1.9]], peak_memory_bytes=3, problems=["throttled"]),
    ]
    log = joined(batches)
    assert log.latencies_s == [1.0, 1.0] and log.probes_s == [0.1, 0.1]
    assert log.rank_latencies_s == [[1.0, 2.0], [0.9, 1.9]]
    assert log.peak_memory_bytes == 5 and log.problems == ["throttled"]
