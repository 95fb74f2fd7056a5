"""``gaudi-perf history``: every run that was ever measured, and since when a case is slower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import json

from gaudi_perf.cli import common
from gaudi_perf.judging.trends import SessionLevel, Trend, TrendChanges, all_changes, trends
from gaudi_perf.reports.answers import HistoryAnswer, LevelShift, SessionApart
from gaudi_perf.stores.frames import csv_text, rounds_frame, runs_frame, write_csv, write_parquet
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, interval, seconds, slower_or_faster, span, throughput
from gaudi_perf.vocabulary.run import Run

_STYLES = {"REGRESSED": "red", "IMPROVED": "green"}


@click.command(cls=common.Command)
@common.filter_options
@click.option("--last", type=click.IntRange(min=0), default=20, show_default=True, help="Runs that are listed.")
@click.option("--changes/--no-changes", default=True, show_default=True, help="Look for changes of level.")
@common.tolerance_option("Changes below half of it are not reported.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the runs as CSV with all columns; - for stdout.")
@click.option("--parquet", "parquet_file", metavar="FILE", help="Write them as Parquet (needs pyarrow).")
@common.json_option
@click.option("--rounds", is_flag=True, help="With --csv or --parquet: a row for every round instead of every run.")
@common.results_option
def history(
    case: str,
    device: str | None,
    stack: str | None,
    last: int,
    changes: bool,
    tolerance: float,
    csv_file: str | None,
    parquet_file: str | None,
    as_json: bool,
    rounds: bool,
    results_dir: Path,
) -> None:
    """Report since when a case is slower, and list the runs under the results directory.

    First the newest runs, oldest first, with those that never became steady or are INVALID marked. Then, for each
    case, the sessions at which its level changed, by how much, and what changed in the stack there. Sessions are
    ordered by version, and by time within a version. A single session that lies apart is no change of level: it is
    listed as an odd session, or, if it is the newest, as too early to say. Exit status 1 if the last change of a case
    made it slower.

    CSV and Parquet have every figure of every run: for a spreadsheet, or for pandas. What was read is kept in
    .history-index in the results directory, which makes the next call faster; it may be deleted.

    Examples:
      gaudi-perf history
      gaudi-perf history --case bloomz7b-8x --device gaudi2 --last 0
      gaudi-perf history --stack 1.24.0 --csv runs.csv
      gaudi-perf history --rounds --parquet rounds.parquet
    """
    if rounds and csv_file is None and parquet_file is None:
        raise UserError("--rounds: goes with --csv or --parquet: add --csv FILE")
    if as_json and (csv_file is not None or parquet_file is not None):
        raise UserError("--json: is of what is listed, and with --csv or --parquet nothing is: leave one out")
    runs = common.chosen_runs(results_dir, case, device, stack, "list")
    if csv_file is not None or parquet_file is not None:
        _write(runs, csv_file, parquet_file, rounds)
        return
    newest = runs[-last:] if last else []
    searched = list(trends(runs).values()) if changes else []
    found = list(zip(searched, all_changes(searched, tolerance=tolerance), strict=True))
    if as_json:
        _echo_document(runs, newest, found)
    else:
        if newest:
            _list(newest)
        if len(runs) > last:
            common.echo(f"{counted(len(runs), 'run')}: --last N lists the newest N, --csv writes all")
        if found:
            _changes(found)
    if any(own.changes and own.changes[-1].point.ratio > 1 for _, own in found):
        raise click.exceptions.Exit(1)


def _echo_document(runs: Sequence[Run], newest: Sequence[Run], found: Sequence[tuple[Trend, TrendChanges]]) -> None:
    def of(trend: Trend, session: SessionLevel) -> dict[str, Any]:
        what = {"device": trend.key.device, "case": trend.key.case.id, "stack_label": trend.key.stack_label}
        when = {"session_id": session.session_id, "started_at": session.started_at}
        return {**what, **when, "stack": session.stack.name}

    shifts = [
        LevelShift(
            **of(trend, one.since),
            kind="REGRESSED" if one.point.ratio > 1 else "IMPROVED",
            ratio=one.point.ratio,
            low=one.point.low,
            high=one.point.high,
            stack_changes=list(one.stack_changes),
            newest=one is happened.changes[-1],
        )
        for trend, happened in found
        for one in happened.changes
    ]
    apart = [
        SessionApart(**of(trend, one.session), ratio=one.ratio, newest=one.newest)
        for trend, happened in found
        for one in happened.odd
    ]
    rows = json.decode(runs_frame(newest).to_json(orient="records", double_precision=15)) if newest else []
    common.echo_json(
        HistoryAnswer(runs_in_all=len(runs), runs=rows, trends=len(found), changes=shifts, odd_sessions=apart)
    )


def _write(runs: Sequence[Run], csv_file: str | None, parquet_file: str | None, rounds: bool) -> None:
    frame = rounds_frame(runs) if rounds else runs_frame(runs)
    if parquet_file is not None:
        write_parquet(Path(parquet_file), frame)
        common.echo(f"{counted(len(frame), 'row')} written: {parquet_file}", err=csv_file == "-")
    if csv_file == "-":
        click.echo(csv_text(frame, "\n"), nl=False)
    elif csv_file is not None:
        write_csv(Path(csv_file), frame)
        common.echo(f"{counted(len(frame), 'row')} written: {csv_file}")


def _list(runs: Sequence[Run]) -> None:
    common.echo_table(
        ("started (UTC)", "case", "device", "stack", "rounds", "latency", "tok/s", ""),
        [
            (
                run.started_at[:19],
                run.case.id,
                run.device.name,
                run.stack_title,
                str(len(run.measurement.latencies_s)),
                seconds(run.level_s),
                throughput(run.case.workload.tokens_per_s(run.level_s)),
                _state(run),
            )
            for run in runs
        ],
        right=("rounds", "latency", "tok/s"),
    )


def _state(run: Run) -> tuple[str, str]:
    if run.problems:
        return (f"INVALID: {'; '.join(run.problems)}", "magenta")
    return ("", "") if run.steady else ("never steady", "yellow")


def _changes(found: Sequence[tuple[Trend, TrendChanges]]) -> None:
    quiet = sorted(len(trend.sessions) for trend, happened in found if not happened.changes)
    for trend, happened in found:
        label = f" ({trend.key.stack_label})" if trend.key.stack_label else ""
        name = f"{trend.key.device} {trend.key.case.id}{label}"
        for change in happened.changes:
            point, since = change.point, change.since
            ratio = f"{slower_or_faster(point.ratio)} {interval(point.low, point.high)}"
            when = f"since {since.started_at[:10]} ({since.stack.name}, session {since.session_id})"
            changed = ", ".join(change.stack_changes)
            what = f"changed in the stack: {changed}" if changed else "no recorded stack change"
            common.echo(f"{name}: {ratio} {when}; {what}", _STYLES[point.kind.value])
        if apart := [one for one in happened.odd if not one.newest]:
            each = ", ".join(f"{one.session.started_at[:10]} {slower_or_faster(one.ratio)}" for one in apart)
            common.echo(f"{name}: odd sessions, no change of level: {each}")
        for one in happened.odd[len(apart) :]:
            where = f"{one.session.started_at[:10]}, {one.session.stack.name}, session {one.session.session_id}"
            common.echo(f"{name}: the newest session ({where}) is {slower_or_faster(one.ratio)}: too early to say")
    if quiet:
        sessions = span(map(str, quiet), "session" if quiet[-1] == 1 else "sessions")
        cases = counted(len(found), "case") if len(quiet) == len(found) else f"{len(quiet)} of {len(found)} cases"
        common.echo(f"no change of level: {cases}, {sessions}{' each' if len(quiet) > 1 else ''}")
