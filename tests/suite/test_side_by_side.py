"""Two stacks in one session, with scripted engines of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.stores.results import read_runs
from gaudi_perf.vocabulary.verdict import SharedErrorRate
from tests.suite.conftest import INJECTED, Suite, refusal

CASES = ["-k", "bloomz7b-1x"]
QUICK = ["--rounds", "6", "--time-budget", "5", "--new-tokens", "4", "--benchmark-disable"]
SLOWED = "bloomz7b-1x-graphs-kvcache"
SECRET = "hunter2-is-no-good-password"


def stack(name: str, python: str = sys.executable, **injected: Any) -> str:
    setting = json.dumps({"engine": "scripted", **injected})
    return (
        f'[[stack]]\nname = "{name}"\npython = "{python}"\n'
        f"[stack.environment]\nPYTHONPATH = '{INJECTED}'\nGAUDI_PERF_INJECTED = '{setting}'\nTOKEN = '{SECRET}'\n"
    )


def beside(suite: Suite, *stacks: str) -> list[str]:
    file = suite.place / "stacks.toml"
    file.write_text("\n".join(stacks))
    return ["--stacks", str(file), "--candidate-stack", "new", "--baseline-stack", "old"]


def test_exactly_the_slowed_case_fails(suite: Suite) -> None:
    new = stack("new", stack_version="2.14.0", slower=[{"when": ["graphs", "kvcache"], "by": 0.10}])
    outcome = suite(*CASES, *QUICK, "--runs", "4", *beside(suite, new, stack("old")))
    assert outcome.status == 1, outcome.output
    verdicts = outcome.verdicts()
    assert {case for case, verdict in verdicts.items() if verdict == "REGRESSED"} == {SLOWED}, outcome.output
    assert "1 failed" in outcome.output and len(verdicts) == 4
    session = outcome.session
    assert (session.candidate_stack, session.baseline_stack) == ("new", "old")
    assert session.error_rate == SharedErrorRate(cases=4, rate=0.01)
    for report in session.cases:
        assert [verdict.role for verdict in report.verdicts] == ["side by side"]
        assert report.verdicts[0].baseline_stack is not None
        assert report.verdicts[0].baseline_stack.name == "torch-2.13.0"
        assert len(report.run_ids) == len(report.baseline_run_ids) == 4
    summary = outcome.output.split("= gaudi-perf =")[1]
    assert "new" in summary and "torch-2.14.0" in summary and "old" in summary and "torch-2.13.0" in summary
    assert "4 cases: if nothing changed" in summary


def test_stacks_are_measured_in_balanced_order_each_with_its_environment(suite: Suite, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    new = stack("new", count_loads=str(loads))
    old = stack("old", stack_version="2.12.0", count_loads=str(loads))
    outcome = suite(*CASES, *QUICK, "--runs", "2", *beside(suite, new, old), "-k", "bloomz7b-1x-graphs-kvcache")
    assert outcome.status == 0 and "REGRESSED" not in outcome.verdicts().values(), outcome.output
    runs = read_runs(outcome.results).runs
    assert sorted((run.stack_label, run.stack.version) for run in runs) == [
        ("new", "2.13.0"),
        ("new", "2.13.0"),
        ("old", "2.12.0"),
        ("old", "2.12.0"),
    ]
    order = [
        path.name for path in sorted(outcome.results.glob("*/run-*.json"), key=lambda path: path.stat().st_mtime_ns)
    ]
    labels = {f"run-{run.run_id}.json": run.stack_label for run in runs}
    assert [labels[name] for name in order] == ["new", "old", "old", "new"]
    assert len(loads.read_text().splitlines()) == 4, "every run in a fresh group"
    stored = "".join(path.read_text() for path in outcome.results.rglob("*.json"))
    assert SECRET not in stored and SECRET not in outcome.output


def test_rounds_in_turns(suite: Suite) -> None:
    new = stack("new", slower=[{"when": ["graphs", "kvcache"], "by": 0.10}])
    arguments = [*beside(suite, new, stack("old")), "--turns", "rounds"]
    outcome = suite("-k", "bloomz7b-1x and kvcache", *QUICK, "--runs", "3", *arguments)
    verdicts = outcome.verdicts()
    assert {case for case, verdict in verdicts.items() if verdict == "REGRESSED"} == {SLOWED}, outcome.output
    assert len(verdicts) == 2 and outcome.status == 1
    assert len(read_runs(outcome.results).runs) == 12
    refused = suite(*QUICK, *arguments, "--accelerator", "emulated-gaudi2")
    assert refused.status == 4
    assert "--turns rounds: emulated-gaudi2 is held by one worker group at a time" in refused.output


def test_a_stack_whose_worker_cannot_start_is_one_sentence(suite: Suite, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -s "$@"\n')
    bare.chmod(0o755)
    outcome = suite(*CASES, *QUICK, *beside(suite, stack("new"), stack("old", python=str(bare))))
    assert outcome.status == 1
    sentences = {report.failed for report in outcome.session.cases}
    assert len(sentences) == 1, "it is not tried again for every case"
    (sentence,) = sentences
    assert sentence.startswith("stack 'old' cannot start its worker: ") and "No module named" in sentence
    assert str(bare) in sentence and "\n" not in sentence
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        (None, "--candidate-stack new: the file of stacks: {file}: cannot be read (No such file or directory)"),
        ('[[stack]]\nname = "new"\n', "{file}: not a valid file of stacks: stack 'new': give either python or command"),
        ("[[stack]]\nname = 3\n", "Expected `str`, got `int` - at `$.stack[0].name`"),
        ('[[stack]]\nname = "new"\npyton = "python"\n', "unknown field `pyton` - at `$.stack[0]`"),
        ("[[stack]\n", "{file}: not a valid file of stacks: "),
        (
            '[[stack]]\nname = "new"\npython = "/no/such/python"\n',
            "{file}: stack 'new': python: /no/such/python is no program: write the path of an interpreter",
        ),
        (
            '[[stack]]\nname = "old"\npython = "/bin/sh"\n',
            "--candidate-stack new: {file} lists no such stack; it lists old",
        ),
        (
            '[[stack]]\nname = "new"\ncommand = ["no-such-docker", "run"]\n',
            "{file}: stack 'new': command: there is no program 'no-such-docker'",
        ),
    ],
)
def test_mistakes_in_the_file_of_stacks(tmp_path: Path, text: str | None, reported: str) -> None:
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text)
    sentence = refusal("--stacks", str(file), "--candidate-stack", "new", "--baseline-stack", "old")
    assert reported.format(file=file) in sentence


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--candidate-stack", "new"], "give --baseline-stack, too"),
        (["--turns", "rounds"], "--turns rounds: two stacks take turns: give --candidate-stack"),
        (["--max-runs", "3"], "limits of --runs auto"),
        (["--runs", "auto", "--refresh-baselines"], "give --refresh-baselines a number of runs"),
        (["--runs", "0"], "--runs is '0': it takes a whole number from 1, or auto"),
        (["--gate", "speed"], "--gate is 'speed': it takes all, or some of latency, first-token"),
        (["--tolerance", "latency=5%,speed=2%"], "METRIC=SHARE with each metric once"),
    ],
)
def test_mistakes_in_options(arguments: list[str], reported: str) -> None:
    assert reported in refusal(*arguments)
