"""``gaudi-perf report``: a session again, from its documents: on the terminal, as a page, as Markdown, as CSV."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gaudi_perf.cli import common
from gaudi_perf.judging.outcome import fails
from gaudi_perf.reports.answers import report_answer, verdicts_frame
from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.page import session_page
from gaudi_perf.reports.terminal import summary
from gaudi_perf.reports.text import encodable, harmless
from gaudi_perf.reports.wording import ended_early, next_commands, verdict_counts
from gaudi_perf.stores.files import write_atomic
from gaudi_perf.stores.frames import csv_text
from gaudi_perf.stores.results import ResultsStore, SessionRead, require_results
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session

_WIDEST = 140


@click.command(cls=common.Command)
@click.argument("session", required=False)
@click.option("--html", "html_file", metavar="FILE", help="Write one page that needs no network; - for stdout.")
@click.option("--markdown", "markdown_file", metavar="FILE", help="Write a short summary as Markdown; - for stdout.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write a row for every verdict; - for stdout.")
@common.json_option
@common.baselines_option
@common.results_option
def report(
    session: str | None,
    html_file: str | None,
    markdown_file: str | None,
    csv_file: str | None,
    as_json: bool,
    baselines_dir: Path,
    results_dir: Path,
) -> None:
    """Print the summary of SESSION again: a row for every case, worst first.

    SESSION is its id, or its directory; without it, the newest session, as far as it came. The page also shows what
    earlier sessions of the results directory measured, and the rounds of the baselines where they are stored. Exit
    status 1 if a case is REGRESSED and not waived, INVALID or not measured; with --html, --markdown and --csv, which
    only write a file, it is 0.

    Examples:
      gaudi-perf report
      gaudi-perf report --html report.html
      gaudi-perf report --markdown - >> $GITHUB_STEP_SUMMARY
      gaudi-perf report 20260131T235959.123456Z-1a2b3c4d --csv verdicts.csv
      gaudi-perf report --results-dir /srv/nightly/results
    """
    if session is not None and "/" in session.rstrip("/"):
        directory = Path(session)
        results_dir, session = directory.parent, directory.name
    require_results(results_dir)
    store = ResultsStore(results_dir)
    read = newest_session(store) if session is None else store.read_session(session.rstrip("/"))
    document, runs = judged(read, str(session))
    commands = next_commands(document, str(results_dir), str(baselines_dir))
    asked = [html_file, markdown_file, csv_file]
    if as_json and any(asked):
        raise UserError("--json: goes to stdout alone: call the command again for --html, --markdown or --csv")
    if asked.count("-") > 1:
        raise UserError("--html, --markdown, --csv: only one of them can go to stdout: give the others a file")
    if html_file is not None:
        _write(html_file, session_page(document, runs, store, baselines_dir, commands))
    if markdown_file is not None:
        _write(markdown_file, session_markdown(document, runs, commands).encode())
    if csv_file is not None:
        _write(csv_file, csv_text(verdicts_frame(document, runs)).encode("utf-8", "backslashreplace"))
    if not any(asked):
        if as_json:
            common.echo_json(report_answer(document, runs, commands))
        else:
            color, counts = common.colored(), verdict_counts(document)
            table = summary(document, runs, width=min(common.width(), _WIDEST), color=color).rstrip("\n")
            session_line = f"session {document.session_id}, {document.started_at} to {document.ended_at}"
            ended = ended_early(document, finished=read.finished)
            last = [counts and f"verdicts: {counts}", ended, *commands, session_line]
            text = "\n".join(line for line in (table, *map(harmless, last)) if line)
            click.echo(encodable(text, getattr(sys.stdout, "encoding", None)), color=color)
        if any(report.failed or fails(report.verdicts, report.waived) for report in document.cases):
            raise click.exceptions.Exit(1)


def _write(file: str, data: bytes) -> None:
    """Write to a file, whole or not at all, or to stdout."""
    if file == "-":
        click.echo(data, nl=False)
    else:
        write_atomic(Path(file), data)
        common.echo(f"written: {file}")


def newest_session(store: ResultsStore) -> SessionRead:
    """The newest session with a document; newer ones without are named on stderr. UserError if there is none."""
    name, killed = store.newest()
    common.left_out([f"session {other} is newer, and was killed before it had a document" for other in killed])
    return store.read_session(name)


def judged(read: SessionRead, name: str) -> tuple[Session, dict[str, list[Run]]]:
    """The document of a session, and the runs of each case that it judged.
    Raises UserError if it has no document, or that of a run is missing.
    """
    session = read.session
    if session is None:
        raise UserError(f"{name}: this session was killed before it had a document; gaudi-perf history lists its runs")
    by_id = {run.run_id: run for run in read.runs}
    runs: dict[str, list[Run]] = {}
    for case in session.cases:
        missing = [run_id for run_id in case.run_ids if run_id not in by_id]
        if missing:
            raise UserError(f"session {session.session_id}: the document of run {missing[0]} is missing: restore it")
        if case.run_ids:
            runs[case.case.id] = [by_id[run_id] for run_id in case.run_ids]
        elif case.verdicts:
            raise UserError(f"session {session.session_id}: {case.case.id} has verdicts, but no runs")
    return session, runs
