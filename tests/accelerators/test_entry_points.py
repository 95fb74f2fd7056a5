"""Accelerators are found by entry points, those of other packages too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaudi_perf import accelerators
from gaudi_perf.accelerators import accelerator_named, accelerator_names
from gaudi_perf.stores.results import read_runs
from gaudi_perf.vocabulary.errors import UserError
from tests.suite.conftest import ROOT, Suite

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MADE_UP = Path(__file__).parent / "made_up"
PATH = os.pathsep.join([str(MADE_UP), str(ROOT)])


@pytest.mark.slow
def test_a_case_is_measured_and_judged_on_an_accelerator_of_another_package(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    suite = Suite(tmp_path_factory.mktemp("s"))  # a socket's path is short
    asked = ["--accelerator", "made-up", "-k", "bloomz560m-1x-eager-kvcache", "--benchmark-disable"]
    few = ["--new-tokens", "4", "--rounds", "3", "--runs", "1"]
    first = suite(*asked, *few, "--refresh-baselines", PYTHONPATH=PATH)
    assert first.status == 0, first.output
    (run,) = read_runs(next(first.results.iterdir())).runs
    assert (run.case.accelerator, run.device.name, run.stack.name) == ("made-up", "made-up-1", "beads-1.5")
    assert len(run.measurement.token_ids) == 4
    telemetry = run.measurement.telemetry
    assert telemetry is not None and telemetry.source == "beads"
    assert {sample.temperature_c for sample in telemetry.samples} == {20.0}
    assert (suite.baselines / "made-up-1" / "beads-1.5.json").is_file()
    second = suite(*asked, *few, PYTHONPATH=PATH)
    assert "NO BASELINE" not in second.output and "beads-1.5" in second.output, second.output
    assert second.verdicts().keys() == {"bloomz560m-1x-eager-kvcache"}
    assert suite.left_processes() == []


def test_its_own_check_stands_beside_those_of_the_host() -> None:
    command = [sys.executable, "-c", "from gaudi_perf.cli import main; main()", "doctor", "--accelerator", "made-up"]
    environment = {**os.environ, "PYTHONPATH": PATH}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, timeout=60)
    diagnosis = json.loads(done.stdout)
    found = {item["check"]: item for item in diagnosis["findings"]}
    assert diagnosis["accelerator"] == "made-up" and found["devices"]["found"] == "2 x made-up-1"
    assert (found["beads"]["status"], found["beads"]["remedy"]) == ("warning", "oil the rod")
    assert {"governor", "host memory", "load", "hypervisor steal"} <= found.keys()
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout
    assert "beads: oil the rod" in shown and "measure with made-up" in shown


def test_pyproject_lists_every_folder() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][accelerators.GROUP]
    assert listed == {entry.name: entry.value for entry in accelerators._own_entries()}


def test_the_package_alone_on_the_path_has_its_own_accelerators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a stack's own interpreter has it; another package's accelerator is there as well."""
    monkeypatch.setattr(accelerators, "entry_points", lambda group: ())
    names = accelerator_names()
    assert {"auto", "hpu", "cuda", "cpu", "emulated-gaudi2"} <= set(names) and accelerator_named(
        "cpu"
    ).find() is not None


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("there_is_no_such_module:Abacus", "cannot be imported (ModuleNotFoundError: No module named"),
        ("json:JSONDecoder", "is no gaudi_perf.accelerators.base.Accelerator with the name 'abacus'"),
    ],
)
def test_a_broken_package_is_one_sentence(
    value: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "abacus-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus-of-mine\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[gaudi_perf.accelerators]\nabacus = {value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "abacus" in accelerator_names()
    with pytest.raises(UserError) as caught:
        accelerator_named("abacus")
    assert sentence in str(caught.value) and str(caught.value).endswith("mend or uninstall abacus-of-mine")


def test_an_unknown_name_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"unknown accelerator 'abacus': --accelerator takes auto, .*cpu"):
        accelerator_named("abacus")
