"""``gaudi-perf history``: every run that was ever measured, and since when a case is slower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gaudi_perf.cli.common import Command, colored, echo_table, results_option, share, shown
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted

if TYPE_CHECKING:
    from gaudi_perf.judging.trends import Change, Trend
    from gaudi_perf.vocabulary.summary import RunSummary

_STYLES = {"REGRESSED": "red", "IMPROVED": "green"}


@click.command(cls=Command)
@click.option("--case", metavar="PART", default="", help="Only cases whose id has this part, for instance 8x.")
@click.option("--device", metavar="NAME", help="Only this device, for instance gaudi2.")
@click.option("--stack", metavar="NAME", help="Only this stack, as synapse-1.24.0 or 1.24.0.")
@click.option("--last", type=click.IntRange(min=0), default=20, show_default=True, help="Runs that are listed.")
@click.option("--changes/--no-changes", default=True, show_default=True, help="Look for changes of level.")
@click.option(
    "--tolerance", metavar="PERCENT", default="5%", show_default=True, help="Changes below half of this are not told."
)
@click.option("--csv", "csv_file", metavar="FILE", help="Write the runs as CSV with all columns; - for stdout.")
@click.option("--parquet", "parquet_file", metavar="FILE", help="Write them as Parquet (needs pyarrow).")
@click.option("--rounds", is_flag=True, help="With --csv or --parquet: a row for every round instead of every run.")
@results_option
def history(
    case: str,
    device: str | None,
    stack: str | None,
    last: int,
    changes: bool,
    tolerance: str,
    csv_file: str | None,
    parquet_file: str | None,
    rounds: bool,
    results_dir: Path,
) -> None:
    """Say since when a case is slower, and list the runs under the results directory.

    First the newest runs, oldest first; one that never became steady, or is INVALID, says so. Then, for each case, the
    nights at which its level changed, by how much, and what changed in the stack there. Nights are ordered by version,
    and by time within a version. A change is told if two voters agree: ruptures, which splits the whole series, and the
    comparison that verdicts are made with; where the stack changed, the comparison alone is enough.

    CSV and Parquet have every figure of every run: for a spreadsheet, or for pandas. What was read is kept in
    .history-index in the results directory, so that the next time is faster; it may be deleted.

    Examples:
      gaudi-perf history
      gaudi-perf history --case bloomz7b-8x --device gaudi2 --last 0
      gaudi-perf history --stack 1.24.0 --csv runs.csv
      gaudi-perf history --rounds --parquet rounds.parquet
    """
    from gaudi_perf.stores.history import read_history

    minded = share(tolerance, "--tolerance")
    if rounds and csv_file is None and parquet_file is None:
        raise UserError("--rounds: goes with --csv or --parquet: add --csv FILE")
    read = read_history(results_dir)
    for problem in read.problems:
        click.echo(shown(f"left out: {problem}"), err=True)
    runs = [
        run
        for run in read.runs
        if case in run.case.id
        and device in (None, run.device.name)
        and stack in (None, run.stack.name, run.stack.version)
    ]
    if not runs:
        asked = "; the filters leave none of them" if read.runs else ""
        raise UserError(f"{results_dir}: {counted(len(read.runs), 'run')} can be read{asked}: nothing to list")
    if csv_file is not None or parquet_file is not None:
        _write(runs, csv_file, parquet_file, rounds)
        return
    if last:
        _list(runs[-last:])
    if len(runs) > last:
        click.echo(f"the newest {last} of {counted(len(runs), 'run')}: --last shows more, --csv has all")
    if changes:
        _changes(runs, minded)


def _write(runs: Sequence[RunSummary], csv_file: str | None, parquet_file: str | None, rounds: bool) -> None:
    from gaudi_perf.stores.export import csv_text, round_rows, run_rows, write_csv, write_parquet

    rows = round_rows if rounds else run_rows
    if parquet_file is not None:
        count = write_parquet(Path(parquet_file), rows(runs))
        click.echo(f"{counted(count, 'row')} written: {parquet_file}", err=csv_file == "-")
    if csv_file == "-":
        click.echo(csv_text(rows(runs), "\n"), nl=False)
    elif csv_file is not None:
        click.echo(f"{counted(write_csv(Path(csv_file), rows(runs)), 'row')} written: {csv_file}")


def _list(runs: Sequence[RunSummary]) -> None:
    from gaudi_perf.vocabulary.formats import seconds

    echo_table(
        [
            ("started (UTC)", "left"),
            ("case", "left"),
            ("device", "left"),
            ("stack", "left"),
            ("rounds", "right"),
            ("latency", "right"),
            ("", "left"),
        ],
        [
            (
                run.started_at[:19],
                run.case.id,
                run.device.name,
                run.stack.name,
                str(len(run.latencies_s)),
                seconds(run.level_s),
                _state(run),
            )
            for run in runs
        ],
    )


def _state(run: RunSummary) -> tuple[str, str]:
    if not run.valid:
        return (f"INVALID: {'; '.join(run.problems)}", "magenta")
    return ("", "") if run.steady else ("never steady", "yellow")


def _changes(runs: Sequence[RunSummary], tolerance: float) -> None:
    from gaudi_perf.judging.trends import changes_of, trends

    found = trends(runs)
    quiet: list[int] = []
    for trend in found:
        changes = changes_of(trend, tolerance=tolerance)
        for change in changes:
            text = shown(_sentence(trend, change))
            click.echo(click.style(text, fg=_STYLES[change.point.kind.value]) if colored() else text)
        if not changes:
            quiet.append(len(trend.nights))
    if quiet:
        cases = f"{len(quiet)} of {counted(len(found), 'case')}"
        sessions = (
            counted(max(quiet), "session") if min(quiet) == max(quiet) else f"{min(quiet)} to {max(quiet)} sessions"
        )
        click.echo(f"no change of level was found in {cases} ({sessions} each)")


def _sentence(trend: Trend, change: Change) -> str:
    from gaudi_perf.vocabulary.formats import interval, slower_or_faster

    point, since = change.point, change.since
    ratio = f"{slower_or_faster(point.ratio)} {interval(point.low, point.high)}"
    when = f"since {since.started_at[:10]} ({since.stack.name}, session {since.session_id})"
    if change.stack_changes:
        what = f"changed in the stack: {', '.join(change.stack_changes)}"
    else:
        what = "nothing that is recorded changed in the stack"
    return f"{trend.device.name} {trend.case.id}: {ratio} {when}; {what}"
