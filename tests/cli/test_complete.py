"""What the verdict of a dataset's throughput means for the command's exit status."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from msgspec.structs import replace

from gaudi_perf.cli.complete import _judge
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import apply, plan_refresh
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.waiver import Waiver
from tests.cli.conftest import Invoke
from tests.stores.making import make_run, make_runs


def test_a_regression_fails_unless_it_is_waived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apply(plan_refresh(BaselineStore(tmp_path), make_runs(1.0)))
    slow = make_run([1.6, 1.61, 1.59, 1.6, 1.6])
    with pytest.raises(click.exceptions.Exit) as ended:
        _judge(slow, tmp_path, tmp_path / "results", "")
    assert ended.value.exit_code == 1 and "REGRESSED: " in capsys.readouterr().out
    WaiverStore(tmp_path).add(
        Waiver(case=slow.case.id, device="gaudi2", reason="being mended", until="99", added_on="2026-01-01")
    )
    _judge(replace(slow, session_id="the-next"), tmp_path, tmp_path / "results", "")
    assert "waived: being mended (until synapse-99)" in capsys.readouterr().out


def test_a_baseline_that_is_nowhere_is_told_before_anything_is_completed(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("complete", "prompts.csv", "--output", tmp_path / "o.jsonl", "--against", "1.99")
    assert done.exit_code == 2 and "--against 1.99: there is no such baseline in baselines" in done.output
    assert list(tmp_path.iterdir()) == []
