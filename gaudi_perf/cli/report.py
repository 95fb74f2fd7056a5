"""``gaudi-perf report``: the summary of a session again, from its documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gaudi_perf.cli.common import Command, colored, results_option, width
from gaudi_perf.vocabulary.errors import UserError

if TYPE_CHECKING:
    from gaudi_perf.stores.results import ResultsStore, SessionRead
    from gaudi_perf.vocabulary.measurement import Run

_WIDEST = 140


@click.command(cls=Command)
@click.argument("session", required=False)
@results_option
def report(session: str | None, results_dir: Path) -> None:
    """Print the summary of SESSION again: a row for every case, worst first.

    SESSION is its id, or its directory; without it, the newest session that came to its end.

    Examples:
      gaudi-perf report
      gaudi-perf report 20260131T235959.123456Z-1a2b3c4d
      gaudi-perf report --results-dir /srv/nightly/results
    """
    from gaudi_perf.reports.terminal import summary, verdict_counts
    from gaudi_perf.stores.results import ResultsStore

    if session is not None and "/" in session.rstrip("/"):
        directory = Path(session)
        results_dir, session = directory.parent, directory.name
    if not results_dir.is_dir():
        raise UserError(f"--results-dir {results_dir}: there is no such directory: measure first, or name another")
    store = ResultsStore(results_dir)
    read = _newest(store) if session is None else store.read_session(session.rstrip("/"))
    if read.session is None:
        raise UserError(
            f"{session}: this session never came to its end, so it has no verdicts; gaudi-perf history lists its runs"
        )
    color, columns = colored(), min(width(), _WIDEST)
    click.echo(summary(read.session, _runs(read), width=columns, color=color), nl=False, color=color)
    counts = verdict_counts(read.session)
    if counts:
        click.echo(f"verdicts: {counts}")
    click.echo(f"session {read.session.session_id}, {read.session.started_at} to {read.session.ended_at}")


def _newest(store: ResultsStore) -> SessionRead:
    from gaudi_perf.stores.results import SESSION_FILE

    for name in reversed(store.sessions()):
        if (store.session_directory(name) / SESSION_FILE).is_file():
            return store.read_session(name)
    raise UserError(f"{store.directory}: holds no session that came to its end: measure first")


def _runs(read: SessionRead) -> dict[str, list[Run]]:
    """The runs of each judged case.

    Raises:
        UserError: the document of a run is missing.
    """
    assert read.session is not None
    by_id = {run.run_id: run for run in read.runs}
    runs: dict[str, list[Run]] = {}
    for case in read.session.cases:
        missing = [run_id for run_id in case.run_ids if run_id not in by_id]
        if missing:
            raise UserError(
                f"session {read.session.session_id}: the document of run {missing[0]} is missing: restore it"
            )
        if case.run_ids:
            runs[case.case.id] = [by_id[run_id] for run_id in case.run_ids]
        elif case.verdicts:
            raise UserError(f"session {read.session.session_id}: {case.case.id} has verdicts, but no runs")
    return runs
