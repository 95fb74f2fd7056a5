"""``gaudi-perf bisect``: the first slow stack or commit, by binary search."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from gaudi_perf.cli.common import Command, echo, echo_words, path_option, results_option, value_of
from gaudi_perf.judging.outcome import NO_WORSE
from gaudi_perf.reports.bisection import answer, step_line
from gaudi_perf.reports.text import markdown
from gaudi_perf.reports.wording import case_headline
from gaudi_perf.session import values
from gaudi_perf.stores.files import read_bytes, write_atomic
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.bisection import Bisection, BisectionStep
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.stacks import decode_stacks
from gaudi_perf.vocabulary.verdict import VerdictKind
from gaudi_perf.workers.controller.launch import PARENT_DEATH

_MOST_COMMITS = 10_000


@click.command(cls=Command, context_settings={"ignore_unknown_options": True})
@click.option("--good", required=True, metavar="NAME", help="A stack, or commit, that is not slow.")
@click.option("--bad", required=True, metavar="NAME", help="One that is.")
@click.option("--case", required=True, metavar="ID", help="The case, as bloomz7b-8x-graphs-kvcache.")
@path_option(
    "--stacks",
    default="stacks.toml",
    help="The file of stacks; those that it lists between the two are searched, in its order.",
)
@click.option("--skip", multiple=True, metavar="NAME", help="A stack or commit to leave out; may be repeated.")
@path_option("--commits", metavar="DIR", help="Search commits of this git repository.")
@click.option("--install", metavar="COMMAND", help="With --commits: installs the commit, which is appended to it.")
@click.option("--candidate-stack", metavar="NAME", help="With --commits: the stack into which --install installs.")
@click.option("--baseline-stack", metavar="NAME", help="With --commits: the stack that holds the good one.")
@path_option(
    "--state",
    default="bisect.json",
    help="Where the search is kept; the same command goes on where it ended. Remove it to start over.",
)
@path_option("--markdown", "markdown_file", help="Write the answer as Markdown.")
@path_option("--tests", default="perf_tests", metavar="PATH", help="The tests that measure the case.")
@results_option
@click.argument("pytest_words", metavar="[-- PYTEST OPTIONS]", nargs=-1, type=click.UNPROCESSED)
def bisect(
    good: str,
    bad: str,
    case: str,
    stacks: Path,
    skip: Sequence[str],
    commits: Path | None,
    install: str | None,
    candidate_stack: str | None,
    baseline_stack: str | None,
    state: Path,
    markdown_file: Path | None,
    tests: Path,
    results_dir: Path,
    pytest_words: Sequence[str],
) -> None:
    r"""Find the first slow stack or commit between GOOD and BAD, by a binary search of comparisons side by side.

    Each step is a session of pytest with --runs auto, which ends when its verdict is clear; options after -- are
    passed to it. The stacks between the two are those of the file of stacks. With --commits, the commits between the
    two are searched: before each step COMMAND is run with the commit appended. The same command continues a search that
    was interrupted, or whose last step had no clear verdict. Exit status 0 if the first slow one is found, 1 if a step
    has no clear verdict.

    Examples:
      gaudi-perf bisect --good synapse-1.18.0 --bad synapse-1.24.0 --case bloomz7b-8x-graphs-kvcache
      gaudi-perf bisect --good synapse-1.22.0 --bad synapse-1.24.0 --case bloomz7b-1x-graphs-kvcache -- --max-runs 20
      gaudi-perf bisect --good v1.20 --bad main --case bloomz7b-1x-graphs-kvcache --commits ../optimum-habana \
          --install ./install-commit --candidate-stack trial --baseline-stack good
    """
    asked = [case, *pytest_words]
    for option, file in (("--state", state), ("--markdown", markdown_file)):
        if file is not None:
            value_of(values.new_file, str(file), option)
    if commits is None:
        of_commits = {"--install": install, "--candidate-stack": candidate_stack, "--baseline-stack": baseline_stack}
        for option, text in of_commits.items():
            if text is not None:
                raise UserError(f"{option} {text}: is for a search of commits: give --commits, or leave it out")
        points = _stacks_between(stacks, good, bad, skip)
        baseline_stack = good
    else:
        if not (install and candidate_stack and baseline_stack):
            raise UserError("--commits: needs --install, --candidate-stack and --baseline-stack")
        points = _commits_between(commits, good, bad, skip)
        asked += [str(commits), install]
    found = _taken_up(state, points, asked)
    store = ResultsStore(results_dir.resolve())
    while (point := found.next_point) is not None:
        echo(f"step {len(found.steps) + 1}: {point} against {good}")
        if install is not None:
            _run(
                [*value_of(shlex.split, install, "--install"), point], {}, f"--install: {point} could not be installed"
            )
        step = _compared(point, candidate_stack or point, str(baseline_stack), case, stacks, store, tests, pytest_words)
        found = replace(found, steps=[*found.steps, step])
        write_atomic(state, encode(found))
        echo(step_line(step, good), "red" if step.slower else "green")
    words = answer(found)
    echo_words(words)
    if markdown_file is not None:
        write_atomic(markdown_file, f"{markdown(words)}\n".encode())
        echo(f"written: {markdown_file}")


def _stacks_between(path: Path, good: str, bad: str, skip: Sequence[str]) -> list[str]:
    names = [entry.name for entry in decode_stacks(read_bytes(path), str(path)).stack]
    for option, name in (("--good", good), ("--bad", bad), *(("--skip", one) for one in skip)):
        if name not in names:
            raise UserError(f"{option} {name}: {path} has no such stack; it lists {', '.join(names)}")
    first, last = names.index(good), names.index(bad)
    between = names[first : last + 1] if first <= last else names[last : first + 1][::-1]
    return _without(between, skip)


def _commits_between(repository: Path, good: str, bad: str, skip: Sequence[str]) -> list[str]:
    def git(*words: str) -> list[str]:
        command = ["git", "-C", str(repository), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        except subprocess.TimeoutExpired:
            raise UserError(f"--commits {repository}: git did not answer within 60 s: is its disk in reach?") from None
        if done.returncode:
            raise UserError(f"--commits {repository}: {' '.join(done.stderr.split())[:200]}: name a commit of it")
        return done.stdout.split()

    ends = [git("rev-parse", "--verify", "--end-of-options", f"{one}^{{commit}}")[0] for one in (good, bad)]
    after = git("rev-list", "--reverse", "--first-parent", f"--max-count={_MOST_COMMITS}", f"{ends[0]}..{ends[1]}")
    if ends[1] not in after:
        raise UserError(f"--good {good}: {bad} does not come after it: name a commit that does")
    left_out = {git("rev-parse", "--verify", "--end-of-options", f"{one}^{{commit}}")[0] for one in skip}
    return _without([ends[0], *after], left_out)


def _without(points: Sequence[str], skip: Sequence[str] | set[str]) -> list[str]:
    left = [point for index, point in enumerate(points) if index in (0, len(points) - 1) or point not in skip]
    if len(left) < 2:
        raise UserError("--good and --bad are the same: name two")
    return left


def _taken_up(path: Path, points: Sequence[str], asked: Sequence[str]) -> Bisection:
    new = Bisection(points=list(points), asked=list(asked))
    if not path.exists():
        return new
    found = decode(read_bytes(path), Bisection, str(path))
    ends = found.points[0], found.points[-1]
    if found.asked != new.asked or ends != (points[0], points[-1]):
        raise UserError(f"{path}: holds another search ({ends[0]} to {ends[1]}): remove it, or name another by --state")
    echo(f"{path}: goes on after {counted(len(found.steps), 'comparison')}")
    return replace(new, steps=[step for step in found.steps if step.point in points])


def _compared(
    point: str,
    candidate: str,
    baseline: str,
    case: str,
    stacks: Path,
    store: ResultsStore,
    tests: Path,
    words: Sequence[str],
) -> BisectionStep:
    """Compare a point with the good one in a session of pytest; ends the command where its verdict is not clear."""
    before = set(store.sessions())
    options = ["-k", case, "--stacks", str(stacks), "--candidate-stack", candidate, "--baseline-stack", baseline]
    runs = [] if "--runs" in words else ["--runs", "auto"]
    variables = {"GAUDI_PERF_RESULTS_DIR": str(store.directory)}
    dies_with_us = [sys.executable, "-m", PARENT_DEATH, str(os.getpid())]
    _run([*dies_with_us, "pytest", str(tests), *options, *runs, *words], variables)
    new = sorted(set(store.sessions()) - before)
    reports = []
    if new and store.has_document(new[-1]):
        read = store.read_session(new[-1])
        reports = [] if read.session is None else read.session.cases
    remedy = "mend this, or leave it out with --skip, and give the same command again"
    if not reports:
        raise UserError(f"{point}: pytest judged no case: {remedy}")
    if len(reports) > 1:
        there = ", ".join(report.case.id for report in reports)
        raise UserError(f"--case {case}: names several cases ({there}): write one of them")
    report = reports[0]
    if not (report.verdicts and report.verdicts[0].kind in (VerdictKind.REGRESSED, *NO_WORSE)):
        said = case_headline(report)
        echo(f"{point}: {said} This step has no clear verdict: {remedy}, for instance with -- --max-runs 20")
        raise click.exceptions.Exit(1)
    run = next(run for run in read.runs if run.run_id == report.run_ids[-1])
    return BisectionStep(
        point=point, session_id=new[-1], case=report.case.id, verdict=report.verdicts[0], stack=run.stack
    )


def _run(words: Sequence[str], variables: dict[str, str], failure: str = "") -> None:
    """Run a program; UserError where it must succeed and does not."""
    try:
        status = subprocess.run(words, env={**os.environ, **variables}, check=False).returncode
    except OSError as error:
        raise UserError(f"{words[0]}: cannot be started ({error.strerror})") from None
    if status and failure:
        raise UserError(f"{failure} (exit status {status})")
