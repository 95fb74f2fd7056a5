from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gaudi_perf.cli import main
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session
from tests.stores.test_published import ARTICLE

PROJECT = Path(__file__).parents[2]
PUBLISHED = PROJECT / "baselines"


def commands_of(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group, which imports them when they are asked for."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


class Invoke:
    """Runs gaudi-perf; no traceback may come of anything.

    Attributes:
        transcript: what a terminal would show: every command with its output, and its exit status unless it is 0.
    """

    def __init__(self) -> None:
        self.transcript = ""

    def __call__(self, *arguments: object) -> Result:
        """Run a command."""
        words = [str(argument) for argument in arguments]
        done = CliRunner().invoke(main, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert "\x1b" not in done.output  # plain when piped
        status = f"[exit status {done.exit_code}]\n" if done.exit_code else ""
        self.transcript += f"$ {shlex.join(['gaudi-perf', *words])}\n{done.output}{status}\n"
        return done

    def mistake(self, *arguments: object) -> None:
        """Run a command that is a mistake: one sentence, and exit status 2."""
        done = self(*arguments)
        assert done.exit_code == 2 and len(done.output.strip().splitlines()) == 1, done.output


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    for variable in ("GAUDI_PERF_BASELINES_DIR", "GAUDI_PERF_RESULTS_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return Invoke()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, whose ``results`` and ``baselines`` need no option."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the published baselines alone, as working directory: others are each user's own."""
    place = tmp_path / "project"
    for device, stack in ARTICLE:
        (place / "baselines" / device).mkdir(parents=True, exist_ok=True)
        shutil.copy(PUBLISHED / device / f"{stack}.json", place / "baselines" / device)
    monkeypatch.chdir(place)
    return place


StoreRuns = Callable[[Iterable[Run]], Path]


@pytest.fixture
def store_runs(tmp_path: Path) -> StoreRuns:
    """Writes runs into a results directory, whose sessions all came to their end."""

    def write(runs: Iterable[Run]) -> Path:
        store = ResultsStore(tmp_path / "results")
        for run in runs:
            store.write_run(run)
            if not (store.session_directory(run.session_id) / "session.json").exists():
                at = run.started_at
                store.write_session(Session(session_id=run.session_id, started_at=at, ended_at=at, cases=[]))
        return store.directory

    return write
