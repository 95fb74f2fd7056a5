"""A session as one page: it needs no network, no server and no other file.

Documents are read (``stored``), turned into what is shown (``build``, ``facts``), and written into a template
(``render``), whose script draws the figures of a case when it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gaudi_perf.reports.page.build import PageBuilder
from gaudi_perf.reports.page.render import render_page
from gaudi_perf.stores.results import ResultsStore
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
    return render_page(PageBuilder(session, runs, results, baselines_directory, commands).page())
