"""The documentation as a site, opened from disk: it asks for nothing elsewhere, and can be searched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Chromium

EXECUTABLE = chromium.find()
PROJECT = Path(__file__).parents[2]


@pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium is installed")
def test_the_site_needs_no_network_and_can_be_searched(tmp_path: Path) -> None:
    assert EXECUTABLE is not None
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=120)
    browser = Chromium(EXECUTABLE, tmp_path)
    try:
        for page in ("options", "commands", "documents", "api", "index"):
            browser.open((tmp_path / f"site/{page}.html").as_uri())
        browser.run("document.querySelector('[data-md-toggle=search]').click()")
        browser.run(
            "(() => { const query = document.querySelector('[data-md-component=search-query]'); query.focus();"
            "query.value = 'waiver'; query.dispatchEvent(new Event('keyup', { bubbles: true })); })()"
        )
        found = "document.querySelector('.md-search-result__list')?.innerText"
        assert "waiver" in browser.until(f"{found}?.includes('Waivers') && {found}").lower()
        assert [one for one in browser.requests if not one.startswith(("file:", "data:"))] == []
        assert browser.errors == []
    finally:
        browser.close()
