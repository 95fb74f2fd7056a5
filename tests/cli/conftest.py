from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gaudi_perf.cli import main
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.run import Run

Invoke = Callable[..., Result]

PROJECT = Path(__file__).parents[2]
PUBLISHED = PROJECT / "baselines"


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs gaudi-perf; no traceback may come of anything."""
    for variable in ("GAUDI_PERF_BASELINES_DIR", "GAUDI_PERF_RESULTS_DIR"):
        monkeypatch.delenv(variable, raising=False)

    def run(*arguments: object) -> Result:
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert "\x1b" not in done.output  # plain when piped
        return done

    return run


@pytest.fixture
def store_runs(tmp_path: Path) -> Callable[[Iterable[Run]], Path]:
    """Writes runs into a results directory."""

    def write(runs: Iterable[Run]) -> Path:
        store = ResultsStore(tmp_path / "results")
        for run in runs:
            store.write_run(run)
        return store.directory

    return write
