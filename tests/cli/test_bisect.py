"""The first slow one of several stacks, or commits, is found in as few comparisons as there can be."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import PROJECT, Invoke
from tests.golden_files import Golden

CASE = ("--case", "bloomz7b-1x-graphs-kvcache")
SEVEN = ("--good", "s0", "--bad", "s6", *CASE)


@pytest.fixture
def searching(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with seven stacks, in which ``python -m pytest`` is the pretended one."""
    (here / "pytest.py").write_text("import tests.injected.pretended_side_by_side\n")
    entries = [f'[[stack]]\nname = "s{number}"\npython = "python"\n' for number in range(7)]
    (here / "stacks.toml").write_text("\n".join(entries))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return here


def _ratios(monkeypatch: pytest.MonkeyPatch, **of: float) -> None:
    monkeypatch.setenv("RATIOS", json.dumps(of))


def test_seven_releases_in_three_comparisons(
    invoke: Invoke, searching: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    """The second comparison stays unclear at first; the search is taken up after the first one."""
    _ratios(monkeypatch, s3=1.0, s4=0)
    assert invoke("bisect", *SEVEN, "--markdown", "found.md").exit_code == 1
    _ratios(monkeypatch, s4=1.0, s5=1.08)
    done = invoke("bisect", *SEVEN, "--markdown", "found.md")
    assert done.exit_code == 0 and len(json.loads((searching / "bisect.json").read_text())["steps"]) == 3
    assert "the first slower one is s5: 8.0 % slower" in done.output and "synapse 1.22.0 -> 1.23.0" in done.output
    invoke("bisect", *SEVEN)  # it is found already
    text = re.sub(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}", "SESSION", invoke.transcript)
    golden("bisect.txt", re.sub("SESSION *", "SESSION", text))
    golden("bisect.md", re.sub(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}", "SESSION", (searching / "found.md").read_text()))


def test_commits(invoke: Invoke, searching: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", "package", "-c", "user.name=p", "-c", "user.email=p@example.com", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (searching / "package").mkdir()
    git("init", "--quiet")
    commits = []
    for number in range(4):
        git("commit", "--quiet", "--allow-empty", "--message", str(number))
        commits.append(git("rev-parse", "HEAD"))
    (searching / "install").write_text('#!/bin/sh\nprintf %s "$1" > installed\n')
    (searching / "install").chmod(0o755)
    _ratios(monkeypatch, **{commit: 1.08 if number >= 2 else 1.0 for number, commit in enumerate(commits)})
    where = ("--commits", "package", "--install", "./install", "--candidate-stack", "trial", "--baseline-stack", "s0")
    done = invoke("bisect", "--good", "HEAD~3", "--bad", "HEAD", *CASE, *where)
    assert done.exit_code == 0 and f"the first slower one is {commits[2]}" in done.output
    (searching / "install").write_text("#!/bin/sh\nexit 3\n")
    failed = invoke("bisect", "--good", "HEAD~2", "--bad", "HEAD", *CASE, *where, "--state", "other.json")
    assert failed.exit_code == 2 and "could not be installed (exit status 3)" in failed.output
    invoke.mistake("bisect", "--good", "HEAD", "--bad", "HEAD~1", *CASE, *where, "--state", "other.json")
    invoke.mistake("bisect", "--good", "--help", "--bad", "HEAD", *CASE, *where, "--state", "other.json")


def test_mistakes(invoke: Invoke, searching: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    _ratios(monkeypatch, s3=-1)
    invoke("bisect", *SEVEN)
    for arguments in (
        ("--good", "s9", "--bad", "s6"),
        ("--good", "s0", "--bad", "s0"),
        ("--good", "s0", "--bad", "s6", "--skip", "s9"),
        ("--good", "s0", "--bad", "s6", "--stacks", "nowhere.toml"),
        ("--good", "s0", "--bad", "s6", "--commits", "."),
        ("--good", "s0", "--bad", "s6", "--install", "./install"),
        ("--good", "s0", "--bad", "s6", "--state", "nowhere/state.json"),
        ("--good", "s0", "--bad", "s6", "--markdown", "nowhere/found.md"),
    ):
        invoke.mistake("bisect", *arguments, *CASE)
    _ratios(monkeypatch, s2=1.0, s3=1.0, s5=1.08)
    assert "the first slower one is s5" in invoke("bisect", *SEVEN, "--skip", "s4").output
    invoke.mistake("bisect", "--good", "s1", "--bad", "s6", *CASE)  # the file holds another search
    golden("bisect_mistakes.txt", re.sub(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}", "SESSION", invoke.transcript))
