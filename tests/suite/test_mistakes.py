"""Mistakes of people: one clear sentence each, no traceback, nothing lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.suite.conftest import ROOT, Scripted, Suite, refusal

ONE = ["-k", "bloomz7b-1x-eager-kvcache", "--new-tokens", "4", "--rounds", "3"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--accelerator", "xpu"], "--accelerator is 'xpu': it takes one of auto"),
        (["--devices", "zero"], "--devices is 'zero': it takes device counts like 1,8"),
        (["--weights", "/nowhere"], "--weights is '/nowhere': it takes dummy, hub, or a directory that exists"),
        (["--tolerance", "5"], "--tolerance is '5': it takes a share above 0 and below 1: write 5% or 0.05"),
        (["--new-tokens", "0"], "--new-tokens is '0': it takes a whole number from 1"),
        (["--new-tokens", "9" * 20], "it takes a whole number from 1 to 1000000000"),
        (["--round-deadline", "1e10"], "--round-deadline is '1e10': it takes a number above 0, at most 1000000000"),
        (["--dataset-limit", "none"], "--dataset-limit is 'none': it takes a whole number from 1"),
        (["--dtype", "int8"], "--dtype is 'int8': it takes one of bfloat16"),
        (["--accept-regression", "why not"], "it needs --refresh-baselines"),
        (["--baselines-dir", "mistyped"], "--baselines-dir is 'mistyped': there is no such directory"),
        (["--baselines-dir", "README.md", "--refresh-baselines"], "is 'README.md': there is no such directory"),
        (
            ["--accelerator", "cpu", "--emulated-synapse", "1.22.0"],
            "is '1.22.0': cpu is not emulated: add --accelerator",
        ),
        (["--emulated-faults", "README.md"], "--emulated-faults is 'README.md': cpu is not emulated: add"),
        (["--accelerator", "cpu", "--fp8-config", "README.md"], "FP8 on cpu takes no settings: leave it out"),
        (["--results-dir", "README.md"], "--results-dir is 'README.md': there is no such directory"),
        (["--against", "gaudi2/synapse-1.99"], "there is no such results directory, and no such baseline"),
        (["--against", "1.99"], "--against 1.99: there is no such baseline in"),
        (["--results-dir", "a" * 5000], " letters): cannot be used (File name too long)"),
        (["--perf-html", "a" * 5000], " letters): cannot be used (File name too long)"),
        (["--model", "a" * 5000], "... (5000 letters): cannot be used (File name too long)"),
        (["--against", "mistyped"], "--against mistyped: there is no such results directory"),
    ],
)
def test_wrong_options(arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert sentence in refusal(*arguments)


def test_an_emulated_gaudi_is_on_one_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "hosts"
    file.write_text("worker-0 slots=1\nworker-1 slots=1\n")
    sentence = refusal("--accelerator", "emulated-gaudi2", "--hostfile", str(file))
    assert sentence.endswith("emulated-gaudi2 is pretended by files of one host, and 2 are named: leave out --hostfile")


def test_a_mistake_is_a_usage_error_of_pytest(suite: Suite) -> None:
    for outcome, sentence in (
        (suite("--accelerator", "xpu"), "ERROR: --accelerator is 'xpu': it takes one of auto"),
        (suite(GAUDI_PERF_ROUNDS="many"), "ERROR: GAUDI_PERF_ROUNDS is 'many'"),
    ):
        assert outcome.status == 4
        assert sentence in outcome.output
        assert "Traceback" not in outcome.output


def test_malformed_baseline(suite: Suite, scripted: Scripted) -> None:
    path = suite.baselines / "cpu" / "torch-2.13.0.json"
    path.parent.mkdir()
    path.write_text('{"schema": "gaudi-perf/baseline/2", "device": 7}')
    outcome = suite(*ONE, injected=scripted())
    assert outcome.status == 1
    assert str(path) in outcome.output.replace("\n", "") and "$.device" in outcome.output
    assert "Traceback" not in outcome.output
    assert path.read_text().endswith('"device": 7}'), "a malformed baseline is left as it is"


def test_a_stack_without_version(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*ONE, injected=scripted(stack_version=""))
    assert outcome.status == 1
    assert "version" in outcome.output
    assert "Traceback" not in outcome.output


def test_results_that_cannot_be_stored_are_reported_before_anything_is_measured(
    suite: Suite, scripted: Scripted
) -> None:
    file, loads = suite.place / "file", suite.place / "loads"
    file.touch()
    outcome = suite(*ONE, "--results-dir", str(file / "results"), injected=scripted(count_loads=str(loads)))
    assert outcome.status == 1 and "a part of this path is a file" in outcome.output
    assert "Traceback" not in outcome.output and "every round is kept" not in outcome.output
    assert not loads.exists()


def test_what_a_file_holds_does_not_reach_the_terminal(suite: Suite, scripted: Scripted) -> None:
    (suite.baselines / "waivers.json").write_text('{"waivers": [{"\\u001b[8m": 1}]}')
    suite(*ONE, "--refresh-baselines", "--runs", "2", injected=scripted())
    slow = scripted(slower=[{"when": ["eager"], "by": 1.0}])
    outcome = suite(*ONE, "--runs", "2", injected=slow)
    assert outcome.status == 1 and "waivers.json" in outcome.output
    assert "\x1b[8m" not in outcome.output and "Traceback" not in outcome.output


def test_a_profile_of_pytest_benchmark_costs_no_verdict(suite: Suite, scripted: Scripted) -> None:
    outcome = suite(*ONE, "--benchmark-cprofile", "tottime", injected=scripted())
    assert outcome.status == 0 and outcome.verdicts() == {ONE[1]: "NO BASELINE"}, outcome.output


@contextlib.contextmanager
def small_file_system(place: Path, limit: str) -> Iterator[None]:
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk(suite: Suite, scripted: Scripted) -> None:
    full = suite.place / "full"
    with small_file_system(full, "size=4k"):
        (full / "filler").write_bytes(b"x" * 4096)
        outcome = suite(*ONE, "--results-dir", str(full / "results"), injected=scripted())
        assert outcome.status == 1
        assert "No space left" in outcome.output
        assert "Traceback" not in outcome.output
        assert [path.name for path in full.rglob("*") if path.is_file()] == ["filler"], "no half-written file"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_session_that_cannot_be_written_is_no_success(suite: Suite, scripted: Scripted) -> None:
    full = suite.place / "full"
    with small_file_system(full, "nr_inodes=5"):  # itself, two directories, a run and what is made of it at first
        outcome = suite(*ONE, "--results-dir", str(full / "results"), injected=scripted())
        assert outcome.status == 1 and "1 no baseline" in outcome.output, outcome.output
        assert "session.json: cannot be written (No space left on device)" in outcome.output.replace("\n", "")
        assert "Traceback" not in outcome.output
        kept = sorted(path.name for path in full.rglob("*") if path.is_file())
        assert [name[:4] for name in kept] == ["run-", "sess"] and kept[1] == "session-unfinished.json"


def test_help_teaches(suite: Suite) -> None:
    outcome = suite("--help")
    for flag in ("--accelerator", "--scale", "--time-budget", "--refresh-baselines", "--require-baseline"):
        assert flag in outcome.output
    assert "GAUDI_PERF_SCALE" in outcome.output
