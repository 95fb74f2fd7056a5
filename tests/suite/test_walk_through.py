"""The walks of docs/new_release.md (from run to baseline) and of docs/nightly.md (four nights), command by command."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaudi_perf.stores.baselines import BaselineStore
from tests.suite.conftest import INJECTED
from tests.suite.test_gaudi import DEVICE_CLOCK

PROJECT = Path(__file__).parents[2]
EXPECTED = {
    'pytest perf_tests -k "bloomz7b-1x and kvcache" --emulated-synapse 1.24.0': 1,
    "gaudi-perf baselines diff": 1,
    "gaudi-perf baselines refresh results  ": 1,
    "gaudi-perf compare": 1,
}
# Two runs instead of five, of four rounds, on the emulated device's own clock: these are as good.
MORE = {
    "pytest perf_tests": "--runs 2 --rounds 4 --warm-up-limit 100 -p no:cacheprovider --benchmark-disable",
    "gaudi-perf baselines diff": "--minimum-runs 2",
    "gaudi-perf baselines refresh": "--minimum-runs 2",
}
ONE, OTHER = "bloomz7b-1x-graphs-kvcache-n2", "bloomz7b-1x-eager-kvcache-n2"


def commands(page: str = "docs/new_release.md") -> list[str]:
    text = (PROJECT / page).read_text()
    blocks = re.findall(r"^<!-- runs in tests/suite/test_walk_through.py -->\n```\n(.*?)^```", text, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def checked_out(place: Path) -> Path:
    """What the commands find in the project's directory; what they write stays here."""
    for name in ("perf_tests", "emulated_gaudi/examples"):
        shutil.copytree(PROJECT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, place / name)
    return place


def on_the_device_s_clock() -> dict[str, str]:
    """The environment of the commands."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GAUDI_PERF_")}
    environment |= {"PYTHONPATH": f"{INJECTED}{os.pathsep}{PROJECT}", "OMP_NUM_THREADS": "1"}
    return {**environment, "GAUDI_PERF_INJECTED": json.dumps(DEVICE_CLOCK)}


def ran(command: list[str], checkout: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A command of a page; a whole suite beside other work takes its time."""
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=3600, check=False
    )


def walk(checkout: Path) -> dict[str, str]:
    """Every command's output, by its first four words."""
    environment = on_the_device_s_clock()
    outputs: dict[str, str] = {}
    for command in commands():
        if command.startswith("export "):
            environment |= dict(word.split("=", 1) for word in command.split()[1:])
            continue
        words = shlex.split(command, comments=True)
        module = {"pytest": "pytest", "gaudi-perf": "gaudi_perf"}[words[0]]
        more = next((shlex.split(options) for start, options in MORE.items() if command.startswith(start)), [])
        done = ran([sys.executable, "-m", module, *words[1:], *more], checkout, environment)
        output = done.stdout + done.stderr
        expected = next((status for start, status in EXPECTED.items() if command.startswith(start)), 0)
        assert done.returncode == expected, f"{command}\n{output}"
        outputs[" ".join(words[:4])] = output
    return outputs


@pytest.mark.emulation
def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    checkout = checked_out(tmp_path / "project")
    outputs = walk(checkout)

    refused = outputs["gaudi-perf baselines refresh results"]  # the last one: with a reason
    assert "accepted: graphs check for overflows since 1.24" in refused
    history = " ".join(outputs["gaudi-perf history --last 0"].split())
    newest = rf"{ONE}: the newest session \(.*, synapse-1\.24\.0, .*\) is \d+\.\d % slower: too early to say"
    assert re.search(newest, history), history
    assert "no change of level: 2 cases, 2 sessions each" in history
    assert "1 refused" in outputs["gaudi-perf baselines diff results"]
    compared = outputs["gaudi-perf compare synapse-1.24.0 synapse-1.23.0"]
    assert [line.split()[0] for line in compared.splitlines() if line.endswith(" REGRESSED")] == [ONE], compared
    store = BaselineStore(checkout / "baselines")
    old, new = (store.read("emulated-gaudi2", f"synapse-1.{minor}.0") for minor in (23, 24))
    assert {case.id for case in new.cases} == {ONE, OTHER}
    levels = {case.id: (before.level_s, case.level_s) for before, case in zip(old.cases, new.cases, strict=True)}
    assert 1.10 < levels[ONE][1] / levels[ONE][0] < 1.20
    (accepted,) = next(case for case in new.cases if case.id == ONE).accepted_regressions
    assert accepted.reason == "graphs check for overflows since 1.24" and accepted.against == "synapse-1.23.0"


@pytest.mark.emulation
def test_nights_without_a_gaudi(tmp_path: Path) -> None:
    """First levels, a quiet night, a slower one, a recovered one; each is a line of the page."""
    checkout = checked_out(tmp_path / "project")
    shutil.copytree(PROJECT / "nightly", checkout / "nightly")
    subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (
        ("pytest", f'exec "{sys.executable}" -m pytest "$@" {MORE["pytest perf_tests"]}'),
        (
            "gaudi-perf",
            f'[ "$2" != refresh ] || set -- "$@" --minimum-runs 2\nexec "{sys.executable}" -m gaudi_perf "$@"',
        ),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    environment = on_the_device_s_clock()
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    lines = commands("docs/nightly.md")
    nights = [line for line in lines if line.startswith("pytest ")]
    settings = [line for line in lines if line not in nights]
    seen = []
    for night in nights:
        done = ran(["bash", "-c", "\n".join([*settings, night])], checkout, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        still_open = json.loads((checkout / "open.json").read_text())["open"]
        seen.append(((checkout / "changes.md").read_text().count("| new; "), [one["case"] for one in still_open]))
    assert seen == [(2, []), (0, []), (0, [ONE]), (0, [])]
    assert (checkout / "changes.md").read_text() == ""
