"""The fixtures: ``measure`` gives the runs of a case, ``judge`` decides what they mean for its test."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gaudi_perf.pytest_plugin import CompleteDataset, Judge, Measure, Settings, WrongCompletions
from gaudi_perf.pytest_plugin.benchmark import ShowRuns
from gaudi_perf.pytest_plugin.options import settings_of
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run

if TYPE_CHECKING:
    from gaudi_perf.session.session import PerfSession
    from gaudi_perf.vocabulary.verdict import CaseReport

SESSIONS_KEY = pytest.StashKey["dict[str, PerfSession]"]()
"""The sessions of this invocation: that of the latencies, and one of datasets, by the fixture whose cases they have."""
VERDICT_PROPERTY = "gaudi-perf verdict"
WAIVED = "WAIVED"
_LINE_EVERY_SECONDS = 30.0


@pytest.fixture(scope="session")
def perf_settings(pytestconfig: pytest.Config) -> Settings:
    """What was asked for; makes cases, too."""
    return settings_of(pytestconfig)


@pytest.fixture(scope="session")
def perf_session(request: pytest.FixtureRequest) -> PerfSession:
    """The session of the latencies."""
    return _session(request, settings_of(request.config), "measure")


@pytest.fixture(scope="session")
def dataset_session(request: pytest.FixtureRequest) -> PerfSession:
    """The session of datasets and completions: a document and reports of its own."""
    settings = settings_of(request.config)
    if settings.as_it_takes:
        settings = replace(settings, runs=1, as_it_takes=False)
    return _session(request, settings, "complete_dataset")


@pytest.fixture
def measure(perf_session: PerfSession, show_runs: ShowRuns) -> Measure:
    """Measures a case, and lets pytest-benchmark show its latencies."""

    def measure_case(case: Case) -> list[Run]:
        with _as_outcome():
            runs = perf_session.measure(case)
        show_runs(runs)
        return runs

    return measure_case


@pytest.fixture
def judge(perf_session: PerfSession, request: pytest.FixtureRequest) -> Judge:
    """Holds runs against baselines: REGRESSED and INVALID fail the test, other verdicts are shown as what they are."""

    def judge_case(case: Case, runs: list[Run]) -> None:
        with _as_outcome():
            report = perf_session.judge(case)
        _judged(request, perf_session, report, runs)

    return judge_case


@pytest.fixture
def complete_dataset(dataset_session: PerfSession, request: pytest.FixtureRequest) -> CompleteDataset:
    """Completes the dataset, as often as ``--runs`` says; only the first run's completions are kept."""
    from gaudi_perf.session import dataset
    from gaudi_perf.session.session import CannotRunError
    from gaudi_perf.workers.controller.completing import throughput

    asked = dataset_session.settings.dataset

    def complete_case(case: Case) -> None:
        take_accelerator(request.config, dataset_session)
        with _as_outcome():
            if asked is None:
                raise CannotRunError("no dataset: name one of the hub or a file with --dataset")
            path = asked.path(case)
            runs = dataset.complete_dataset(dataset_session, case, asked, path)
            if not runs:  # what an earlier session completed says nothing of this one: it is no pass
                text = f"all batches were there already, and nothing was measured: delete {path} to complete it anew"
                raise UserError(text) if dataset_session.settings.require_baseline else CannotRunError(text)
            report = dataset_session.judge(runs[0].case)
        for name, value in zip(("prompts/s", "new tokens/s"), throughput(runs), strict=True):
            request.node.user_properties.append((f"gaudi-perf {name}", f"{value:.6g}"))
        _judged(request, dataset_session, report, runs)

    return complete_case


@pytest.fixture
def wrong_completions(dataset_session: PerfSession, request: pytest.FixtureRequest) -> WrongCompletions:
    """Completes the references' prompts in one batch; what differs by rounding is noted at the end of the session."""
    from gaudi_perf.session import completions

    def wrong(model: str) -> list[str]:
        take_accelerator(request.config, dataset_session)
        with _as_outcome():
            return completions.wrong_completions(dataset_session, model, dataset_session.settings.references)

    return wrong


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End the sessions, whatever happened: all cases are judged together, and what was asked for is written."""
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    for one in session.config.stash.get(SESSIONS_KEY, {}).values():
        one.finish(interrupted=not ended)
        if one.failed and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.exitstatus == pytest.ExitCode.OK and nothing_measured(session.config):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def nothing_measured(config: pytest.Config) -> bool:
    """Whether cases were asked for and this machine could run none of them, nor did another test pass."""
    reports = [report for one in config.stash.get(SESSIONS_KEY, {}).values() for report in one.reports.values()]
    terminal = config.pluginmanager.getplugin("terminalreporter")
    passed = terminal is not None and "passed" in terminal.stats
    return bool(reports) and not passed and all(report.skipped for report in reports)


def take_accelerator(config: pytest.Config, mine: PerfSession) -> None:
    """Have the accelerator for one session alone: end the worker groups of the others."""
    for other in config.stash.get(SESSIONS_KEY, {}).values():
        if other is not mine:
            other.end_groups()


def cases_of(item: pytest.Item) -> list[Case]:
    """The cases that are parameters of a test."""
    callspec = getattr(item, "callspec", None)
    return [] if callspec is None else [one for one in callspec.params.values() if isinstance(one, Case)]


class _TerminalProgress:
    """One line at the bottom of a terminal; in logs a line now and then, so that long work is seen to go on."""

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.getplugin("terminalreporter")
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._quiet = config.get_verbosity() < 0 or self._reporter is None
        self._live = not self._quiet and sys.__stdout__ is not None and self._reporter.isatty
        self._last_line = time.monotonic()
        self._shown = False

    def __call__(self, text: str) -> None:
        """Show what is being done, instead of what was shown before; take that away for an empty text."""
        if self._live:
            if text or self._shown:
                self._write("\r\x1b[2K" + text[: self._reporter._tw.fullwidth - 1])
            self._shown = bool(text)
        elif text and not self._quiet and time.monotonic() - self._last_line > _LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._write(f"\n{text} ")

    def _write(self, text: str) -> None:
        with self._capture.global_and_fixture_disabled():
            self._reporter._tw.write(text, flush=True)


def _session(request: pytest.FixtureRequest, settings: Settings, fixture: str) -> PerfSession:
    from gaudi_perf.session.interrupts import ending_orderly
    from gaudi_perf.session.session import PerfSession

    config = request.config
    if hasattr(config, "workerinput"):  # pytest-xdist's
        pytest.fail("cases measured at once disturb each other: run them without -n", pytrace=False)
    cases = [cases_of(item) for item in request.session.items if fixture in getattr(item, "fixturenames", ())]
    session = PerfSession(
        settings,
        [case for those in cases for case in those],
        more=sum(not those for those in cases),
        notify=_TerminalProgress(config),
    )
    if SESSIONS_KEY not in config.stash:
        signals = contextlib.ExitStack()
        signals.enter_context(ending_orderly(session.doing))
        config.add_cleanup(signals.close)
    config.stash.setdefault(SESSIONS_KEY, {})[fixture] = session
    return session


@contextlib.contextmanager
def _as_outcome() -> Iterator[None]:
    """What a session cannot do as the outcome of a test."""
    from gaudi_perf.reports.text import harmless, harmless_lines
    from gaudi_perf.session.session import CannotRunError

    try:
        yield
    except CannotRunError as error:
        pytest.skip(harmless(str(error)))
    except UserError as error:
        raise pytest.fail.Exception(harmless_lines(str(error)), pytrace=False) from None


def _judged(request: pytest.FixtureRequest, session: PerfSession, report: CaseReport, runs: Sequence[Run]) -> None:
    """Note what a case came to; fail its test if it must."""
    from gaudi_perf.reports.junit import case_properties
    from gaudi_perf.reports.terminal import verdict_message

    kind = WAIVED if report.waived else report.verdicts[0].kind.value
    request.node.user_properties.append((VERDICT_PROPERTY, kind))
    request.node.user_properties.extend(case_properties(report.verdicts, report.waived))
    if session.fails(report):
        pytest.fail(verdict_message(report.case, runs, report.verdicts), pytrace=False)
