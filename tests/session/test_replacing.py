"""Where baselines are refreshed, a run that never became steady is measured once more, and not without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.session.judge import SessionJudge
from gaudi_perf.session.settings import Settings
from gaudi_perf.stores.baselines import BaselineStore
from tests.stores.factories import make_run


@pytest.mark.parametrize(
    ("steady", "refreshing", "runs"),
    [
        ("yyyyyyyyy", True, 5),
        ("yynyyyyyy", True, 6),
        ("nyyyynyyy", True, 7),
        ("nnnnnnnnn", True, 8),
        ("yynyyyyyy", False, 5),
    ],
)
def test_how_many_runs_are_measured(tmp_path: Path, steady: str, refreshing: bool, runs: int) -> None:
    settings = Settings(
        accelerator=CpuAccelerator(),
        scale="standin",
        baselines_directory=tmp_path,
        results_directory=tmp_path,
        runs=5,
        refresh_baselines=refreshing,
    )
    case = make_run().case
    measured = [make_run(steady=letter == "y") for letter in steady]
    judge = SessionJudge(settings, BaselineStore(tmp_path), 1)
    done = 0
    while not judge.enough([{case: measured[:done]}], 1.0)(case, done):
        done += 1
    assert done == runs
