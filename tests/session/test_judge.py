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


def judge_of(place: Path, runs: int = 10) -> SessionJudge:
    settings = Settings(
        accelerator=CpuAccelerator(),
        scale="standin",
        baselines_directory=place,
        results_directory=place,
        runs=runs,
        as_it_takes=True,
    )
    return SessionJudge(settings, BaselineStore(place), 1)


def runs_measured(place: Path, *sides: Sequence[Run]) -> int:
    judge, done = judge_of(place), 0
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
