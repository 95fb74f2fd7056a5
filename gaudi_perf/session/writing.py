"""The last lines of a session: its reports, where everything is, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.page import session_page
from gaudi_perf.reports.wording import next_commands
from gaudi_perf.session.session import PerfSession
from gaudi_perf.stores.files import write_atomic
from gaudi_perf.vocabulary.errors import UserError


def last_lines(session: PerfSession, here: Path, *, ending: str = "") -> list[str]:
    """Write the reports that were asked for; everything that is to be printed after the table, a line each.

    Commands will be typed ``here``. ``ending``: what the names of files end with, before their suffix, where another
    session has the names as they are.
    """
    settings = session.settings
    results, baselines = (
        str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
        for path in (settings.results_directory, settings.baselines_directory)
    )
    commands = next_commands(session.document, results, baselines)
    lines = [*session.notes, *_reports(session, commands, ending), *commands]
    if session.runs:
        lines.append(f"every round is kept in {session.results.session_directory(session.session_id)}")
    return lines


def _reports(session: PerfSession, commands: Sequence[str], ending: str) -> list[str]:
    """Write what ``--perf-html`` and ``--perf-markdown`` ask for, and say where, a line each."""
    settings, document, runs = session.settings, session.document, session.runs_by_id

    def page() -> bytes:
        return session_page(document, runs, session.results, settings.baselines_directory, commands)

    def short() -> bytes:
        return session_markdown(document, runs, commands).encode()

    lines = []
    for name, file, make in (("page", settings.html_file, page), ("summary", settings.markdown_file, short)):
        if file is not None and document.cases:
            path = file.with_name(f"{file.stem}{ending}{file.suffix}")
            try:
                write_atomic(path, make())
                lines.append(f"{name}: {path}")
            except UserError as error:
                lines.append(f"report not written: {error}")
    return lines
