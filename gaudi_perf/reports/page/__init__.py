"""A session as one page: it needs no network, no server and no other file.

Documents are read (``stored``), turned into what is shown (``build``, ``facts``), and written into a template
(``render``), whose script draws the figures of a case when it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gaudi_perf.judging.trends import trends
from gaudi_perf.reports.page.build import PageBuilder
from gaudi_perf.reports.page.render import render_page
from gaudi_perf.reports.page.stored import StoredBaselines
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.notes import NotesStore
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session


def session_page(
    session: Session,
    runs: Mapping[str, Sequence[Run]],
    results: ResultsStore,
    baselines_directory: Path,
    commands: Sequence[str] = (),
) -> bytes:
    """The page of a session, as HTML, with the trends of all sessions and the rounds of the baselines.

    Args:
        runs: the runs of each measured case, by case id.
        commands: what to do next, a line each.
    """
    past = read_history(results.directory)
    baselines = StoredBaselines(baselines_directory, {run.device.name for group in runs.values() for run in group})
    notes = list(baselines.problems)
    try:
        written = NotesStore(results.directory).list()
    except UserError as error:
        written = ()
        notes.append(str(error))
    if past.problems:
        documents = counted(len(past.problems), "document")
        notes.append(f"{documents} under {results.directory} could not be read: see gaudi-perf history")
    wanted = {run_id for report in session.cases for run_id in report.baseline_run_ids}
    of_session = results.read_session(session.session_id).runs if wanted else ()
    partners = {run.run_id: run for run in of_session if run.run_id in wanted}
    builder = PageBuilder(session, runs, trends(past.runs), baselines, written, partners, commands, notes)
    return render_page(builder.page())
