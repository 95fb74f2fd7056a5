"""``gaudi-perf baselines diff`` and ``refresh``: what was measured becomes the new level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gaudi_perf.cli.common import (
    Command,
    baselines_option,
    case_option,
    echo_json,
    echo_styled,
    json_option,
    left_out,
    results_option,
)
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.metrics import RUNS_FOR_BASELINES

if TYPE_CHECKING:
    from gaudi_perf.stores.refresh import RefreshPlan

_STYLES = {"refused": "red", "slower": "yellow", "better": "green"}

_minimum_runs = click.option(
    "--minimum-runs",
    type=click.IntRange(min=1),
    default=RUNS_FOR_BASELINES,
    show_default=True,
    help="How many valid runs of a case it takes.",
)


@click.command(cls=Command)
@click.argument("results", type=click.Path(path_type=Path))
@json_option
@case_option
@_minimum_runs
@baselines_option
@results_option
def diff(results: Path, as_json: bool, case: str, minimum_runs: int, baselines_dir: Path, results_dir: Path) -> None:
    """Say what a refresh from RESULTS would change; nothing is written.

    RESULTS is a results directory, the directory of one session, or one run document. Every case gets a line: its new
    level against the current one and against the best one ever accepted, or why it would be refused. Exit status 1 if
    one would be, as of refresh.

    Examples:
      gaudi-perf baselines diff results
      gaudi-perf baselines diff results/20260131T235959.123456Z-1a2b3c4d --case bloomz7b-8x
    """
    _conclude(_plan(results, case, minimum_runs, None, baselines_dir, results_dir), [], "would accept", as_json)


@click.command(cls=Command)
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--accept-regression", metavar="REASON", help="Why slower levels are accepted; kept in the file.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option(
    "--markdown",
    "markdown_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a table of the levels that changed or were refused as Markdown, for a pull request.",
)
@json_option
@case_option
@_minimum_runs
@baselines_option
@results_option
def refresh(
    results: Path,
    accept_regression: str | None,
    dry_run: bool,
    markdown_file: Path | None,
    as_json: bool,
    case: str,
    minimum_runs: int,
    baselines_dir: Path,
    results_dir: Path,
) -> None:
    """Make what was measured the new level of its cases.

    Only valid, steady runs of one stack and host class count, and it takes several. Cases that were not run stay as
    they are. A level is slower if it REGRESSED, as pytest judges it; where that is INCONCLUSIVE, if it is more than
    {tolerance} slower. It is refused unless --accept-regression says why; the reason stays in the file with date and
    ratio. Exit status 1 if a case was refused; the others are written.

    Examples:
      gaudi-perf baselines refresh results --dry-run
      gaudi-perf baselines refresh results
      gaudi-perf baselines refresh results --case 8x --accept-regression "slower collectives, mended in 1.25"
    """
    from gaudi_perf.stores.refresh import apply

    plan = _plan(results, case, minimum_runs, accept_regression, baselines_dir, results_dir)
    if not dry_run:
        plan = apply(plan)
    if markdown_file is not None:
        from gaudi_perf.reports.baselines import changed_levels
        from gaudi_perf.reports.tabular import markdown
        from gaudi_perf.stores.files import write_atomic

        words = changed_levels(plan.changes)
        write_atomic(markdown_file, f"{markdown(words)}\n\n".encode() if words.rows else b"")
    files = [f"{plan.store.directory / one.device.name / one.stack.name}.json" for one in plan.files]
    _conclude(plan, [] if dry_run else files, "would accept" if dry_run else "accepted", as_json)


def _plan(
    results: Path, case: str, minimum_runs: int, accept_regression: str | None, baselines_dir: Path, results_dir: Path
) -> RefreshPlan:
    from gaudi_perf.judging import NoiseHistory, refresh_verdicts
    from gaudi_perf.stores.baselines import BaselineStore
    from gaudi_perf.stores.refresh import plan_refresh
    from gaudi_perf.stores.results import read_runs

    read, store = read_runs(results), BaselineStore(baselines_dir)
    left_out(read.problems)
    if not read.runs:
        raise UserError(f"{results}: holds no run that can be read: name a results directory, or measure first")
    runs = [run for run in read.runs if case in run.case.id]
    if not runs:
        there = ", ".join(sorted({run.case.id for run in read.runs}))
        raise UserError(f"--case {case}: no run in {results} is of such a case; there are: {there}")
    judged = refresh_verdicts(runs, store, history=NoiseHistory.of(results_dir, store))
    return plan_refresh(store, runs, minimum_runs=minimum_runs, accept_regression=accept_regression, judged=judged)


def _conclude(plan: RefreshPlan, written: Sequence[str], verb: str, as_json: bool) -> None:
    """Print what became, or would become, of each case; exit status 1 if one is refused."""
    if as_json:
        from gaudi_perf.reports.answers import refresh_answer

        echo_json(refresh_answer(plan.changes, written))
    else:
        _echo(plan, verb)
        for file in written:
            click.echo(f"written: {file}")
    if plan.refused:
        raise click.exceptions.Exit(1)


def _echo(plan: RefreshPlan, verb: str) -> None:
    from gaudi_perf.reports.wording import level_change

    for change in plan.changes:
        echo_styled(level_change(change), _STYLES.get(change.kind if change.written else "refused"))
    cases, unchanged = counted(len(plan.changes), "case"), "" if plan.files else "; no file changes"
    click.echo(f"{verb} {len(plan.accepted)} of {cases}, {len(plan.refused)} refused{unchanged}")
