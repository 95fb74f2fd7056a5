"""The lanes of the tests, and golden files (``tests/golden_files.py``).

``pytest tests`` runs the fast lane: what has none of the markers of ``LANES``. ``pytest tests --all`` runs everything;
``-m browser`` runs a lane alone, and a test that is named by its id always runs. ``-n 2`` uses two cores.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.golden_files import Golden

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

LANES = ("slow", "ranks", "emulation", "browser", "statistics")
LEFT_OUT = pytest.StashKey[int]()

# For sessions in processes of their own, none of which uses these two: they take a third of the time.
os.environ["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} -p no:hypothesispytest -p no:anyio"
os.environ.pop("PYTEST_XDIST_WORKER", None)  # in such a process pytest-benchmark does nothing


def pytest_configure() -> None:
    if importlib.util.find_spec("hypothesis") is None:
        raise pytest.UsageError('the suite\'s own tests need more than the suite: pip install -e ".[dev]"')


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write tests/golden anew; runs no other tests.")
    parser.addoption("--all", action="store_true", help=f"Run all tests, those marked {', '.join(LANES)} too.")


@pytest.hookimpl(trylast=True)  # after those that mark
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--update-golden"):
        chosen = [item for item in items if "golden" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[*set(items) - set(chosen)])
        items[:] = chosen
    elif not (config.getoption("--all") or config.getoption("-m") or any("::" in word for word in config.args)):
        left_out = [item for item in items if any(item.get_closest_marker(lane) for lane in LANES)]
        config.stash[LEFT_OUT] = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is loaded
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """A file's tests stay together, for they share sessions; so do all of tests/ranks, which look at /dev/shm."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            ranks = nodeid.startswith("tests/ranks/")
            return "ranks" if ranks else super()._split_scope(nodeid)

    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} slower tests were left out: --all runs them, too")


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    """Compares a text with its golden file."""
    return Golden(update=request.config.getoption("--update-golden"), places={str(tmp_path): "TMP"})
