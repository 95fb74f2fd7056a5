"""Golden files for all tests; see ``tests/golden_files.py``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.golden_files import Golden


def pytest_configure() -> None:
    if importlib.util.find_spec("hypothesis") is None:
        raise pytest.UsageError('the suite\'s own tests need more than the suite: pip install -e ".[dev]"')


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write tests/golden anew; runs no other tests.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--update-golden"):
        chosen = [item for item in items if "golden" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[*set(items) - set(chosen)])
        items[:] = chosen


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    """Compares a text with its golden file."""
    return Golden(update=request.config.getoption("--update-golden"), places={str(tmp_path): "TMP"})
