"""``gaudi-perf history``: every run that was ever measured, as rows."""

from __future__ import annotations

from pathlib import Path

import click

from gaudi_perf.cli.common import Command, echo_table, results_option, shown
from gaudi_perf.vocabulary.errors import UserError


@click.command(cls=Command)
@click.option("--case", metavar="PART", default="", help="Only cases whose id has this part, for instance 8x.")
@click.option("--device", metavar="NAME", help="Only this device, for instance gaudi2.")
@click.option("--stack", metavar="NAME", help="Only this stack, as synapse-1.24.0 or 1.24.0.")
@click.option("--last", type=click.IntRange(min=1), default=200, show_default=True, help="Rows that are shown.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the rows as CSV with all columns; - for stdout.")
@click.option("--rounds", is_flag=True, help="With --csv: a row for every round instead of every run.")
@results_option
def history(
    case: str, device: str | None, stack: str | None, last: int, csv_file: str | None, rounds: bool, results_dir: Path
) -> None:
    """List every run under the results directory, oldest first.

    A run that never became steady, or is INVALID, says so. The CSV has every figure of a run: for a spreadsheet, or
    for pandas.read_csv.

    Examples:
      gaudi-perf history --case bloomz7b-8x --device gaudi2
      gaudi-perf history --stack 1.24.0 --csv runs.csv
      gaudi-perf history --csv - --rounds | head
    """
    from gaudi_perf.reports.text import seconds
    from gaudi_perf.stores.export import csv_text, round_rows, run_rows, write_csv
    from gaudi_perf.stores.results import read_runs

    if rounds and csv_file is None:
        raise UserError("--rounds: goes with --csv: add --csv FILE")
    read = read_runs(results_dir)
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
        raise UserError(f"{results_dir}: {len(read.runs)} runs can be read{asked}: nothing to list")
    shown_runs = runs if csv_file is not None else runs[-last:]
    rows = round_rows(shown_runs) if rounds else run_rows(shown_runs)
    if csv_file == "-":
        click.echo(csv_text(rows, "\n"), nl=False)
    elif csv_file is not None:
        count = write_csv(Path(csv_file), rows)
        click.echo(f"{count} rows written: {csv_file}")
    else:
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
                    str(row["started_at"])[:19],
                    str(row["case"]),
                    str(row["device"]),
                    str(row["stack"]),
                    str(row["rounds"]),
                    seconds(float(row["latency_median_s"] or 0)),
                    _state(bool(row["valid"]), bool(row["steady"]), str(row["problems"])),
                )
                for row in rows
            ],
        )
        if len(shown_runs) < len(runs):
            click.echo(f"the newest {len(shown_runs)} of {len(runs)} runs: --last shows more, --csv has all")


def _state(valid: bool, steady: bool, problems: str) -> tuple[str, str]:
    if not valid:
        return (f"INVALID: {problems}", "magenta")
    return ("", "") if steady else ("never steady", "yellow")
