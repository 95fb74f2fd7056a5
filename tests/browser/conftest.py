from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests open Chromium: the fast lane leaves them out."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    executable = chromium.find()
    if executable is None:
        pytest.skip("no Chromium is installed")
    browser = Chromium(executable, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()
