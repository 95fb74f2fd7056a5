"""``gaudi-perf baselines diff`` and ``refresh``: what was measured becomes the new level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gaudi_perf.cli import common
from gaudi_perf.judging import NoiseHistory, refresh_verdicts
from gaudi_perf.reports.answers import refresh_answer
from gaudi_perf.reports.baselines import changed_levels
from gaudi_perf.reports.text import markdown
from gaudi_perf.reports.wording import level_change
from gaudi_perf.session import values
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.files import write_atomic
from gaudi_perf.stores.refresh import Refresh, RefreshPlan, apply, plan_refresh
from gaudi_perf.stores.results import RUN_PREFIX, ResultsStore, read_runs
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.metrics import RUNS_FOR_BASELINES, SESSIONS_KEPT
from gaudi_perf.vocabulary.run import Run

_STYLES = {"refused": "red", "slower": "yellow", "better": "green"}


def _plan_options(command: common.F) -> common.F:
    """``RESULTS``, and the options that both commands have."""
    options = (
        click.argument("results", nargs=-1, required=True, type=common.PATH),
        common.json_option,
        common.case_option,
        common.count_option("--minimum-runs", "Valid runs of a case that are required.", default=RUNS_FOR_BASELINES),
        common.count_option("--sessions", "Sessions whose runs a case keeps.", default=SESSIONS_KEPT, most=100),
        click.option(
            "--accept-spread",
            is_flag=True,
            help="Store runs that lie further apart than the noise of their case explains.",
        ),
        common.baselines_option,
        common.results_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=common.Command)
@_plan_options
def diff(results: tuple[Path, ...], as_json: bool, baselines_dir: Path, results_dir: Path, **asked: Any) -> None:
    """Show what a refresh from RESULTS would change; nothing is written.

    RESULTS are directories of sessions, or a results directory, of which the newest session that came to its end
    counts, or run documents. Every case gets a line: its new level against the current one and against the best one
    ever stored, or why it would be refused; its runs, and how far they lie apart. Exit status 1 if a case would be
    refused, as with refresh.

    Examples:
      gaudi-perf baselines diff results
      gaudi-perf baselines diff results/20260131T235959.123456Z-1a2b3c4d --case bloomz7b-8x
    """
    _conclude(_plan(results, baselines_dir, results_dir, **asked), [], "would accept", as_json)


@click.command(cls=common.Command)
@click.option(
    "--accept-regression",
    metavar="REASON",
    callback=common.parsed(values.reason),
    help="Why slower levels are accepted; kept in the file.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@common.path_option(
    "--markdown",
    "markdown_file",
    help="Write a table of the levels that changed, and of those refused beside them, as Markdown, for a pull request; "
    "an empty file where none changed.",
)
@_plan_options
def refresh(
    results: tuple[Path, ...],
    dry_run: bool,
    markdown_file: Path | None,
    as_json: bool,
    baselines_dir: Path,
    results_dir: Path,
    **asked: Any,
) -> None:
    """Make what was measured the new level of its cases.

    RESULTS are directories of sessions, or a results directory, of which the newest session that came to its end
    counts, or run documents. Only valid, steady runs of one stack and host class count, and several are required,
    which lie no further apart than the noise of their case explains. Cases that were not run stay as they are.

    A level is slower if it REGRESSED, as pytest judges it; where that is INCONCLUSIVE, if it is more than {tolerance}
    slower. It is refused unless --accept-regression says why; the reason stays in the file with date and ratio. A
    session at the same level is added to those that are stored, until there are enough. Exit status 1 if a case was
    refused; the others are written.

    Examples:
      gaudi-perf baselines refresh results --dry-run
      gaudi-perf baselines refresh results
      gaudi-perf baselines refresh results/20260131T235959.123456Z-1a2b3c4d results/20260201T235959.123456Z-5e6f7a8b
      gaudi-perf baselines refresh results --case 8x --accept-regression "slower collectives, fixed in 1.25"
    """
    plan = _plan(results, baselines_dir, results_dir, **asked)
    if not dry_run:
        plan = apply(plan)
    if markdown_file is not None:
        words = changed_levels(plan.changes)
        write_atomic(markdown_file, f"{markdown(words)}\n\n".encode() if words.rows else b"")
    files = [f"{plan.store.directory / one.device.name / one.stack.name}.json" for one in plan.files]
    _conclude(plan, [] if dry_run else files, "would accept" if dry_run else "accepted", as_json)


def _plan(
    results: Sequence[Path],
    baselines_dir: Path,
    results_dir: Path,
    *,
    case: str,
    minimum_runs: int,
    sessions: int,
    accept_spread: bool,
    accept_regression: str | None = None,
) -> RefreshPlan:
    store = BaselineStore(baselines_dir)
    found: list[Run] = []
    for path in results:
        read = read_runs(_session_of(path))
        common.left_out(read.problems)
        if not read.runs:
            raise UserError(f"{path}: holds no run that can be read: name a results directory, or measure first")
        found += read.runs
    runs = [run for run in found if case in run.case.id]
    if not runs:
        there = ", ".join(sorted({run.case.id for run in found}))
        where = ", ".join(map(str, results))
        raise UserError(f"--case {case}: no run in {where} is of such a case; there are: {there}")
    request = Refresh(
        runs,
        minimum_runs=minimum_runs,
        accept_regression=accept_regression or "",
        judged=refresh_verdicts(runs, store, history=NoiseHistory.of(results_dir, store)),
        accept_spread=accept_spread,
        sessions_kept=sessions,
    )
    return plan_refresh(store, request)


def _session_of(path: Path) -> Path:
    """Of a results directory the newest session that came to its end; else what was named."""
    store = ResultsStore(path)
    if not path.is_dir() or any(path.glob(f"{RUN_PREFIX}*.json")) or not store.sessions():
        return path
    name, unended = store.newest(ended=True)
    common.left_out([f"session {other} is newer, and never came to its end" for other in unended])
    common.echo(f"session {name}: the newest of {path} that came to its end", err=True)
    return path / name


def _conclude(plan: RefreshPlan, written: Sequence[str], verb: str, as_json: bool) -> None:
    """Print what became, or would become, of each case; exit status 1 if one is refused."""
    if as_json:
        common.echo_json(refresh_answer(plan.changes, written))
    else:
        for change in plan.changes:
            common.echo(level_change(change), _STYLES.get(change.kind if change.written else "refused"))
        cases, unchanged = counted(len(plan.changes), "case"), "" if plan.files else "; no file changes"
        common.echo(f"{verb} {len(plan.accepted)} of {cases}, {len(plan.refused)} refused{unchanged}")
        for file in written:
            common.echo(f"written: {file}")
    if plan.refused:
        raise click.exceptions.Exit(1)
