"""How far a dataset is: the time left, a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gaudi_perf.cli.complete import lines
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.verdict import Session, VerdictKind
from gaudi_perf.workers.controller.completing import TimeLeft, bar

ROOT = Path(__file__).parents[2]
LEFT = r"batches, \d:\d\d:\d\d left"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_time_left_is_that_of_this_run_s_batches() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    assert left(10, 30) == "10/30 batches, ?:??:?? left", "from what an earlier run has completed no time follows"
    clock.seconds = 100.0  # the warm-up
    assert left(11, 30) == "11/30 batches, ?:??:?? left"
    clock.seconds = 103.0
    assert left(12, 30) == "12/30 batches, 0:00:54 left"
    clock.seconds = 108.0
    assert left(13, 30) == "13/30 batches, 0:01:08 left"
    assert left(30, 30) == "30/30 batches, 0:00:00 left"
    assert TimeLeft(clock)(5, 5) == "5/5 batches, 0:00:00 left"


def test_a_bar_is_empty_then_full() -> None:
    assert bar(0, 3) == "[....................]" and bar(3, 3) == bar(0, 0) == "[####################]"
    assert bar(1, 2).count("#") == 10


def test_lines_come_at_both_ends_and_now_and_then() -> None:
    clock, written = Clock(), list[str]()
    report = lines(written.append, clock)
    for done in range(31):
        clock.seconds = float(done)
        report(done, 30)
    assert [line.split(" ")[0] for line in written] == ["0/30", "10/30", "20/30", "30/30"]
    assert written[1] == "10/30 batches, 0:00:20 left"


def commands(place: Path) -> dict[str, list[str]]:
    prompts = place / "prompts.txt"
    prompts.write_text("".join(f"prompt {number}\n" for number in range(20)))
    (place / "b").mkdir(exist_ok=True)
    where = [f"--baselines-dir={place / 'b'}", f"--results-dir={place / 'r'}"]
    return {
        "complete": [
            *(sys.executable, "-m", "gaudi_perf", "complete", str(prompts), "--accelerator", "cpu", "--eager"),
            *("--output", str(place / "out.jsonl"), "--batch-size", "4", "--new-tokens", "3", *where),
        ],
        "pytest": [
            *(sys.executable, "-m", "pytest", "perf_tests/test_dataset.py", "-p", "no:cacheprovider"),
            *("-k", "bloomz7b-1x-eager-kvcache", "--accelerator", "cpu", "--dataset", str(prompts)),
            *("--dataset-batch-size", "4", "--dataset-new-tokens", "3", f"--completions-dir={place / 'c'}", *where),
        ],
    }


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "FORCE_COLOR")}
    paths = os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)])
    injected = {"GAUDI_PERF_INJECTED": '{"engine": "scripted", "sleep": true}', "PYTHONPATH": paths}
    return {**kept, **injected, "TERM": "xterm", "COLUMNS": "120"}


@pytest.mark.parametrize("face", ["complete", "pytest"])
def test_a_terminal_sees_a_bar_and_the_time_left(tmp_path: Path, face: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        commands(tmp_path)[face], cwd=ROOT, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # Linux's way to say that the other end is closed
        pass
    finally:
        os.close(ours)
    text = seen.decode()
    assert process.wait(timeout=300) == 0, text
    assert re.search(LEFT, text), text
    assert ("━" if face == "complete" else "[####") in text
    assert "5/5 batches, 0:00:00 left" in text


def test_a_pipe_gets_lines_without_escapes(tmp_path: Path) -> None:
    done = subprocess.run(
        commands(tmp_path)["complete"], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    written = done.stderr.splitlines()
    assert written[0] == "0/5 batches, ?:??:?? left" and written[-1] == "5/5 batches, 0:00:00 left", done.stderr
    assert "\x1b" not in done.stdout + done.stderr and " left" not in done.stdout


def test_a_dataset_s_results_are_a_session_that_reports_are_made_of(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    command = [*commands(tmp_path)["pytest"], f"--junit-xml={junit}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    properties = {one.get("name"): one.get("value") for one in ElementTree.parse(junit).iter("property")}
    assert properties["gaudi-perf verdict"] == "NO BASELINE" and "gaudi-perf reason" in properties
    prompts, tokens = (float(properties[f"gaudi-perf {name}"] or "") for name in ("prompts/s", "new tokens/s"))
    assert tokens == pytest.approx(3 * prompts, rel=1e-4) and f"{prompts:.4g} prompts/s" in done.stdout
    (path,) = (tmp_path / "r").glob("*/session.json")
    (report,) = decode(path.read_bytes(), Session, str(path)).cases
    assert report.case.workload.prompt == "dataset prompts.txt" and report.verdicts[0].kind == VerdictKind.NO_BASELINE
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("look closer: gaudi-perf report ")]
    assert path.parent.name in said
    command = [sys.executable, "-m", "gaudi_perf", "report", path.parent.name, "--results-dir", str(tmp_path / "r")]
    command += ["--html", str(tmp_path / "r.html"), "--markdown", str(tmp_path / "r.md")]
    made = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    shown = subprocess.run(command[:7], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert f"{tokens:.1f}" in shown.stdout, (shown.stdout, shown.stderr)
    assert "batches of 4, dataset prompts.txt," in " ".join(shown.stdout.split())
    for written in ("r.html", "r.md"):
        assert "bloomz7b-1x-eager-kvcache" in (tmp_path / written).read_text()
