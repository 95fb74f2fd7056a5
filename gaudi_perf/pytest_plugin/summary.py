"""What pytest says of the suite: verdicts in the counts, and a table at the end."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from gaudi_perf.pytest_plugin.fixtures import SESSIONS_KEY, VERDICT_PROPERTY, WAIVED, nothing_measured
from gaudi_perf.vocabulary.verdict import VerdictKind

if TYPE_CHECKING:
    from gaudi_perf.session.session import PerfSession

_NOT_PASSED = {
    WAIVED: ("waived", "w", ("WAIVED", {"yellow": True})),
    VerdictKind.NO_BASELINE.value: ("no baseline", "b", ("NO BASELINE", {"cyan": True})),
    VerdictKind.INCONCLUSIVE.value: ("inconclusive", "i", ("INCONCLUSIVE", {"yellow": True})),
}


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Show NO BASELINE, INCONCLUSIVE and waived regressions as what they are: they did not pass."""
    if report.when == "call" and report.passed:
        return _NOT_PASSED.get(str(dict(report.user_properties).get(VERDICT_PROPERTY, "")))
    return None


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """Print the table of each session, last of all, even where another plugin's summary fails."""
    try:
        yield
    finally:
        sessions = config.stash.get(SESSIONS_KEY, {})
        for fixture, title in (("measure", "gaudi-perf"), ("complete_dataset", "gaudi-perf: datasets")):
            if (session := sessions.get(fixture)) is not None:
                others = [one for name, one in sessions.items() if name == "measure" != fixture and one.reports]
                _print(terminalreporter, config, session, title, "-dataset" if others else "")
        if nothing_measured(config):
            terminalreporter.write_line(f"nothing was measured: exit status {pytest.ExitCode.NO_TESTS_COLLECTED:d}")


def _print(
    terminal: pytest.TerminalReporter, config: pytest.Config, session: PerfSession, title: str, ending: str
) -> None:
    from gaudi_perf.reports.terminal import summary
    from gaudi_perf.reports.text import encodable, harmless
    from gaudi_perf.reports.wording import ended_early, verdict_counts
    from gaudi_perf.session.writing import last_lines

    document, writer = session.document, terminal._tw
    if not document.cases and not session.notes:
        return
    terminal.section(title, sep="=")
    encoding = getattr(writer._file, "encoding", None)
    table = summary(document, session.runs_by_id, width=writer.fullwidth, color=bool(writer.hasmarkup))
    terminal.write(encodable(table, encoding))
    if counts := verdict_counts(document):
        terminal.write_line(f"verdicts: {counts}")
    if early := ended_early(document, finished=True):
        terminal.write_line(early)
    for line in last_lines(session, config.invocation_params.dir, ending=ending):
        terminal.write_line(encodable(harmless(line), encoding))
