"""Whether a case of a session needs more runs, and what its runs are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.session.judge import SessionJudge
from gaudi_perf.session.settings import Settings
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.judging.factories import noisy_runs

CASE = noisy_runs(1)[0].case


def judge_of(place: Path, runs: int = 10, as_it_takes: bool = True, budget_s: float | None = None) -> SessionJudge:
    settings = Settings(
        accelerator=CpuAccelerator(),
        scale="standin",
        baselines_directory=place,
        results_directory=place,
        runs=runs,
        as_it_takes=as_it_takes,
        budget_s=budget_s,
    )
    return SessionJudge(settings, BaselineStore(place), 1)


def runs_measured(place: Path, *sides: Sequence[Run], budget_s: float | None = None) -> int:
    judge, done = judge_of(place, budget_s=budget_s), 0
    while not judge.enough([{CASE: side[:done]} for side in sides], 1.0)(CASE, done):
        done += 1
    return done


def test_one_stack_is_compared_with_baselines_and_two_with_each_other(tmp_path: Path) -> None:
    runs, slower = noisy_runs(5), noisy_runs(5, level=1.2, seed="b")
    (alone,) = judge_of(tmp_path).judge(CASE, [{CASE: slower}]).verdicts
    assert alone.kind is VerdictKind.NO_BASELINE
    (beside,) = judge_of(tmp_path).judge(CASE, [{CASE: slower}, {CASE: runs}]).verdicts
    assert beside.kind is VerdictKind.REGRESSED


def test_runs_are_measured_until_the_verdict_is_clear(tmp_path: Path) -> None:
    runs = noisy_runs(10)
    assert runs_measured(tmp_path, noisy_runs(10, level=1.2, seed="b"), runs) == 3, "the first interim analysis"
    assert runs_measured(tmp_path, noisy_runs(10, level=1.08, spread=0.08, seed="b"), runs) > 3
    assert runs_measured(tmp_path, runs) == 1, "nothing to compare with: one run shows that"


def test_a_fixed_number_of_runs_is_measured_whatever_they_say(tmp_path: Path) -> None:
    slower, runs = noisy_runs(9, level=1.2, seed="b"), noisy_runs(9)
    enough = judge_of(tmp_path, 7, as_it_takes=False).enough([{CASE: slower}, {CASE: runs}], 1.0)
    assert [done for done in range(9) if enough(CASE, done)] == [7, 8]


def test_no_run_begins_that_would_not_end_in_time(tmp_path: Path) -> None:
    unclear, runs = noisy_runs(10, level=1.08, spread=0.08, seed="b"), noisy_runs(10)
    assert runs_measured(tmp_path, unclear, runs, budget_s=0.0) == 1
    assert runs_measured(tmp_path, unclear, runs, budget_s=1e6) == runs_measured(tmp_path, unclear, runs) > 3
    judge, one = judge_of(tmp_path, budget_s=1e6), [{CASE: unclear[:1]}, {CASE: runs[:1]}]
    assert judge.enough(one, share=1e-12)(CASE, 1) and not judge.enough(one, share=0.5)(CASE, 1)


def test_what_was_judged_is_judged_again_only_with_more_runs(tmp_path: Path) -> None:
    sides = [{CASE: noisy_runs(5, level=1.2, seed="b")}, {CASE: noisy_runs(5)}]
    judge = judge_of(tmp_path)
    assert judge.enough(sides, 1.0)(CASE, 5)
    judged = judge.judge(CASE, sides)
    assert judge.judge(CASE, sides) is judged
    assert judge.judge(CASE, [{CASE: side[CASE][:4]} for side in sides]) is not judged
