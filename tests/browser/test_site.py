"""The site in a browser, opened from disk: nothing may go wrong, and nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gaudi_perf.reports.site import write_site
from tests.browser.accessibility import violations
from tests.browser.chromium import Chromium
from tests.reports.demonstration import Demonstration

ROWS = "[...document.querySelectorAll('#table tbody tr')].filter((row) => !row.hidden)"
NAMES = f"{ROWS}.map((row) => row.querySelector('a').textContent)"
PAGES = ("index.html", "cases.html", "sessions.html", "compare.html", "session", "case")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = Demonstration(tmp_path_factory.mktemp("site"), cases=16, sessions=20, runs=3)
    made.write()
    output = made.results.directory.parent / "public"
    write_site(output, made.results.directory, made.baselines.directory)
    return output.as_uri()


@pytest.fixture
def browser(started: Chromium, site: str) -> Iterator[Chromium]:
    """In the end nothing was loaded but the site's own files, and the console is empty."""
    started.size(1280, 900)
    started.dark(False)
    started.open("about:blank")
    started.errors.clear()
    started.requests.clear()
    yield started
    assert started.errors == []
    elsewhere = [one for one in started.requests if not one.startswith((site, "about:blank", "data:"))]
    assert elsewhere == []


def address(site: str, page: str) -> str:
    folder = Path(site.removeprefix("file://"))
    if page == "case":
        return f"{site}/cases/gaudi2.bloomz7b-8x-graphs-kvcache.html"
    if page == "session":
        return f"{site}/sessions/{max((folder / 'sessions').glob('*.html')).name}"
    return f"{site}/{page}"


@pytest.mark.parametrize("page", PAGES)
def test_pages_open_and_are_accessible(browser: Chromium, site: str, page: str) -> None:
    browser.open(address(site, page))
    browser.until("document.querySelectorAll('main tr, main .plot svg').length > 3")
    assert violations(browser) == []
    browser.size(390, 844, phone=True)
    wide = """[...document.querySelectorAll('main *')].filter((node) => !node.closest('.scroll, svg, thead') &&
        node.getBoundingClientRect().right > innerWidth + 1).map((node) => node.outerHTML.slice(0, 80))"""
    assert browser.run(wide) == []
    browser.dark(True)
    assert violations(browser) == []


def test_filter_and_order_stand_in_the_address(browser: Chromium, site: str) -> None:
    browser.open(f"{site}/index.html")
    assert browser.run(f"{NAMES}.length") == 16
    browser.run("f = document.getElementById('filter'); f.value = '8x graphs'; f.dispatchEvent(new Event('input'))")
    browser.run("document.querySelector('th[data-key=latency] button').click()")
    names, shown = browser.run(NAMES), browser.run("location.hash")
    assert 0 < len(names) < 16 and shown == "#?filter=8x+graphs&sort=-latency"
    browser.open("about:blank")
    browser.open(f"{site}/index.html{shown}")
    assert browser.run(NAMES) == names
    browser.press("j", 74, "j")
    assert browser.run("document.activeElement.textContent") == names[0]
    browser.press("Enter", 13, "\r")
    browser.until(f"document.querySelector('h1')?.textContent === '{names[0]}'")
    browser.until("document.querySelectorAll('.plot circle').length > 19")


def test_two_versions_or_sessions_are_compared(browser: Chromium, site: str) -> None:
    browser.open(f"{site}/compare.html")
    browser.until("document.querySelectorAll('#table tbody tr').length === 16")
    first = browser.run("document.querySelector('main .lead').textContent")
    assert first.startswith("16 cases in common: ")
    slowest = browser.run("document.querySelector('#table .cell').textContent")
    assert slowest.startswith("+")
    browser.run("""b = document.getElementById('b'); b.value = b.querySelectorAll('optgroup')[1].children[3].value;
        b.dispatchEvent(new Event('change'))""")
    browser.until("location.hash.includes('session%3A')")
    shown = browser.run("location.hash")
    browser.open("about:blank")
    browser.open(f"{site}/compare.html{shown}?filter=176b")
    browser.until(f"{ROWS}.length > 0 && {ROWS}.length < 16")
    assert browser.run("document.getElementById('b').value.startsWith('session:')")
    browser.open("about:blank")
    browser.open(f"{site}/compare.html#release%3Anone..release%3Anone")
    browser.until("document.querySelector('main .lead').textContent.includes('not on this site')")


def test_versions_are_read_on_a_phone_without_broken_words(browser: Chromium, site: str) -> None:
    browser.size(390, 844, phone=True)
    browser.open(address(site, "case"))
    browser.until("document.querySelectorAll('.levels tbody tr').length > 1")
    cells = "[...document.querySelectorAll('.levels td:not(:last-child)')]"
    assert max(browser.run(f"{cells}.map((cell) => cell.getClientRects()[0].height)")) < 40  # a line and its padding
    assert browser.run("document.querySelector('.levels').parentNode.scrollWidth <= innerWidth")
