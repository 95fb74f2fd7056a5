"""The page in a browser: it is opened from disk, filtered, sorted, and a link is followed; nothing may go wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaudi_perf.reports.page import session_page
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.browser.accessibility import violations
from tests.browser.chromium import Chromium
from tests.reports.demonstration import Demonstration
from tests.reports.test_page import EVIL, session_of
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying

ROWS = "[...document.querySelectorAll('#table tbody tr')].filter((row) => !row.hidden)"
NAMES = f"{ROWS}.map((row) => row.querySelector('th').textContent)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = Demonstration(tmp_path_factory.mktemp("demonstration"), cases=16, sessions=20, runs=5)
    session = made.write()
    read = {run.run_id: run for run in made.results.read_session(session.session_id).runs}
    runs = {report.case.id: [read[run_id] for run_id in report.run_ids] for report in session.cases}
    path = made.results.directory.parent / "report.html"
    path.write_bytes(session_page(session, runs, made.results, made.baselines.directory, ["gaudi-perf report"]))
    return path.as_uri()


@pytest.fixture
def browser(started: Chromium, page: str) -> Iterator[Chromium]:
    """The page, freshly opened at 1280 pixels; in the end nothing was loaded but it, and the console is empty."""
    started.size(1280, 900)
    started.dark(False)
    started.open("about:blank")
    started.errors.clear()
    started.requests.clear()
    started.open(page)
    yield started
    assert started.errors == []
    loaded = {address.split("#")[0] for address in started.requests if not address.startswith("data:")}
    assert loaded <= {page, "about:blank"}


def test_filtering_by_words_and_by_verdict(browser: Chromium) -> None:
    assert browser.run(f"{ROWS}.length") == 16
    browser.run(
        "filter = document.getElementById('filter'); filter.value = '8x GRAPHS'; "
        "filter.dispatchEvent(new Event('input'))"
    )
    names = browser.run(NAMES)
    assert names and all("8x-graphs" in name for name in names)
    assert browser.run("document.getElementById('shown').textContent") == f"{len(names)} of 16 cases"
    browser.run("filter.value = 'no such case'; filter.dispatchEvent(new Event('input'))")
    assert browser.run(f"{ROWS}.length") == 0 and not browser.run("document.getElementById('none').hidden")
    browser.run("document.getElementById('clear').click()")
    assert browser.run(f"{ROWS}.length") == 16
    browser.run("document.querySelector('.count[data-state=regressed]').click()")
    assert browser.run(f"{ROWS}.every((row) => row.textContent.includes('REGRESSED'))")
    assert browser.run("document.querySelector('.count[data-state=regressed]').ariaPressed") == "true"


def test_the_address_keeps_what_is_shown(browser: Chromium, page: str) -> None:
    """An address that is sent to somebody shows the same, and going to a case and back loses nothing."""
    browser.run("f = document.getElementById('filter'); f.value = '8x'; f.dispatchEvent(new Event('input'))")
    browser.run("document.querySelector('th[data-key=id] button').click()")
    browser.run("document.querySelector('.count[data-state=unchanged]').click()")
    address, names = browser.run("location.hash"), browser.run(NAMES)
    assert address == "#?filter=8x&verdict=unchanged&sort=id" and 0 < len(names) < 16
    browser.open("about:blank")
    browser.open(page + address)
    assert browser.run(NAMES) == names and browser.run("document.getElementById('filter').value") == "8x"
    browser.press("j", 74, "j")
    assert browser.run("document.activeElement.textContent") == names[0]
    browser.press("Enter", 13, "\r")
    browser.until("!document.getElementById('case').hidden")
    browser.press("j", 74, "j")
    browser.until(f"document.querySelector('#case h1').textContent === '{names[1]}'")
    browser.press("k", 75, "k")
    browser.until(f"document.querySelector('#case h1').textContent === '{names[0]}'")
    browser.press("Escape", 27)
    browser.until("!document.getElementById('overview').hidden")
    assert browser.run("location.hash") == address and browser.run(NAMES) == names


def test_keys(browser: Chromium) -> None:
    browser.press("/", 191, "/")
    assert browser.run("document.activeElement.id") == "filter"
    browser.press("j", 74, "j")  # in a field, keys are letters
    assert browser.run("document.getElementById('filter').value") == "j"
    browser.run("document.getElementById('clear').click(); document.activeElement.blur()")
    browser.press("n", 78, "n")
    assert browser.run("document.activeElement.closest('tr').innerText").startswith("REGRESSED")
    browser.press("?", 191, "?")
    assert "next case that needs a look" in browser.run("document.querySelector('dialog').innerText")
    assert violations(browser) == []
    browser.run("document.querySelector('dialog button').click()")
    assert browser.run("document.querySelector('dialog') === null")


def test_values_show_under_the_pointer_and_by_the_keyboard(browser: Chromium) -> None:
    browser.run("location.hash = 'bloomz7b-8x-graphs-kvcache'")
    browser.until("document.querySelectorAll('#case .plot svg').length >= 5")
    browser.run("""plot = document.querySelector('#case .plot'); box = plot.getBoundingClientRect();
        dot = plot.querySelectorAll('circle.f-now')[3].getBoundingClientRect();
        plot.dispatchEvent(new PointerEvent('pointermove', { clientX: dot.x + 3, clientY: dot.y + 3 }))""")
    tip = "document.querySelector('#case .tip:not([hidden])')"
    assert "synapse-1.20.0: " in browser.run(f"{tip}.textContent")
    first = browser.run(f"{tip}.textContent")
    browser.run("plot.focus()")
    browser.press("ArrowRight", 39)
    assert browser.run(f"{tip}.textContent") != first
    browser.run("plot.blur()")
    assert browser.run(f"{tip} === null")


def test_figures_are_taken_along(browser: Chromium) -> None:
    browser.run("location.hash = 'bloomz7b-8x-graphs-kvcache'")
    browser.until("document.querySelectorAll('#case .plot svg').length >= 5")
    taken = """(async () => {
        const files = []; const click = HTMLAnchorElement.prototype.click;
        HTMLAnchorElement.prototype.click = function () { files.push([this.download, this.href]); };
        const all = [...document.querySelectorAll('#case .take button')];
        const buttons = all.filter((one) => one.textContent === 'WHAT');
        for (const one of buttons) one.click();
        while (files.length < buttons.length) await new Promise((done) => setTimeout(done, 20));
        HTMLAnchorElement.prototype.click = click;
        return files.map(([name]) => name);
    })()"""
    case = "bloomz7b-8x-graphs-kvcache"
    assert f"{case}-sessions.csv" in browser.run(taken.replace("WHAT", "CSV"))
    assert {f"{case}-sessions.png", f"{case}-changes.png"} <= set(browser.run(taken.replace("WHAT", "PNG")))
    browser.errors.clear()  # a page that is opened here may not read what it saves; it saves it


def test_a_note_is_kept_and_makes_a_command(browser: Chromium, page: str) -> None:
    browser.run("location.hash = 'bloomz7b-8x-graphs-kvcache'")
    browser.until("!!document.querySelector('#case textarea')")
    browser.run(
        "a = document.querySelector('#case textarea'); a.value = \"it's known\"; a.dispatchEvent(new Event('input'))"
    )
    command = browser.run("document.querySelector('#case .draft code').textContent")
    assert shlex.split(command) == ["gaudi-perf", "note", "bloomz7b-8x-graphs-kvcache", "it's known"]
    browser.open("about:blank")
    browser.open(f"{page}#bloomz7b-8x-graphs-kvcache")
    assert browser.run("document.querySelector('#case textarea').value") == "it's known"
    browser.run("localStorage.clear()")


@pytest.mark.parametrize("dark", [False, True])
def test_names_contrast_and_roles(browser: Chromium, dark: bool) -> None:
    browser.dark(dark)
    assert violations(browser) == []
    browser.run("location.hash = 'bloomz7b-8x-graphs-kvcache'")
    browser.until("document.querySelectorAll('#case .plot svg').length >= 5")
    browser.run("document.querySelectorAll('#case details').forEach((box) => { box.open = true; })")
    assert violations(browser) == []


@pytest.mark.parametrize("opened", ["", "bloomz7b-8x-graphs-kvcache"])
def test_the_first_figure_is_in_the_first_screen_of_a_phone(browser: Chromium, page: str, opened: str) -> None:
    browser.size(390, 844, phone=True)
    browser.open("about:blank")
    browser.open(f"{page}#{opened}")
    figure = "[...document.querySelectorAll('.card .spark svg, #case .plot svg')].find((one) => one.clientWidth)"
    browser.until(f"!!{figure}")
    assert browser.run(f"{figure}.getBoundingClientRect().bottom") <= 844


def test_sorting_by_a_column_and_back(browser: Chromium) -> None:
    before = browser.run(NAMES)
    browser.run("document.querySelector('th[data-key=id] button').click()")
    assert browser.run(NAMES) == sorted(before)
    assert browser.run("document.querySelector('th[data-key=id]').ariaSort") == "ascending"
    browser.run("document.querySelector('th[data-key=id] button').click()")
    assert browser.run(NAMES) == sorted(before, reverse=True)
    browser.run("s = document.getElementById('sort'); s.value = 'severity'; s.dispatchEvent(new Event('change'))")
    assert browser.run(NAMES) == before


def test_a_link_opens_the_case_and_back_returns(browser: Chromium) -> None:
    name = browser.run(f"{NAMES}[0]")
    browser.run(f"{ROWS}[0].querySelector('a').click()")
    browser.until("!document.getElementById('case').hidden")
    assert browser.run("document.querySelector('#case h1').textContent") == name
    assert browser.run("document.activeElement.textContent") == name  # readers of screens are told
    assert browser.run("document.title").startswith(name)
    browser.until("document.querySelectorAll('#case .plot svg').length >= 5")
    for heading in (
        "Why this verdict",
        "Sessions and versions",
        "Rounds, in order",
        "This session and the baseline",
        "Facts",
    ):
        assert heading in browser.run("document.getElementById('case').innerText")
    assert browser.run("document.querySelectorAll('#case .plot circle').length") > 100
    browser.run("document.querySelectorAll('#case details').forEach((box) => { box.open = true; })")
    browser.until("document.querySelectorAll('#case details td').length > 40")
    browser.run("history.back()")
    browser.until("!document.getElementById('overview').hidden")


def test_an_address_with_a_case_opens_it(browser: Chromium, page: str) -> None:
    browser.open("about:blank")
    browser.open(f"{page}#bloomz7b-8x-graphs-kvcache")
    assert browser.run("document.querySelector('#case h1').textContent") == "bloomz7b-8x-graphs-kvcache"
    browser.run("document.querySelector('.crumbs a').click()")
    browser.until("!document.getElementById('overview').hidden")


def test_the_keyboard_is_enough(browser: Chromium) -> None:
    browser.run("document.querySelector('#table tbody a').focus()")
    browser.press("Enter", 13, "\r")
    browser.until("!document.getElementById('case').hidden")
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.matches('#case *')")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_window(browser: Chromium, width: int) -> None:
    browser.size(width, 900, phone=width < 500)
    wide = """[...document.querySelectorAll('main *')].filter((node) => !node.closest('.scroll, svg, thead') &&
        node.getBoundingClientRect().right > innerWidth + 1).map((node) => node.outerHTML.slice(0, 80))"""
    assert browser.run(wide) == []
    browser.run("location.hash = 'bloomz7b-8x-graphs-kvcache'")
    browser.until("document.querySelectorAll('#case .plot svg').length >= 5")
    assert browser.run(wide) == []
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")


def test_the_heat_map_follows_the_filter(browser: Chromium) -> None:
    browser.until("document.querySelectorAll('#heat-table tbody tr').length === 16")
    assert browser.run("document.querySelectorAll('#heat-table thead th').length") == 6
    browser.run("f = document.getElementById('filter'); f.value = 'bloomz176b'; f.dispatchEvent(new Event('input'))")
    assert browser.run("document.querySelectorAll('#heat-table tbody tr').length") == browser.run(f"{ROWS}.length")
    before = browser.run("document.querySelector('#heat-table tbody').innerText")
    browser.run("a = document.getElementById('against'); a.value = 'first'; a.dispatchEvent(new Event('change'))")
    assert browser.run("document.querySelector('#heat-table tbody').innerText") != before


def test_the_heat_map_agrees_with_the_verdicts(browser: Chromium) -> None:
    """The cell of the session's own stack shows the estimate of a verdict, whatever the versions' medians say."""
    browser.until("document.querySelectorAll('#heat-table tbody tr').length === 16")
    for against in ("before", "first"):
        browser.run(
            f"a = document.getElementById('against'); a.value = '{against}'; a.dispatchEvent(new Event('change'))"
        )
        shown = browser.run("""(() => {
            const data = JSON.parse(document.getElementById('data').textContent);
            return [...document.querySelectorAll('#heat-table tbody tr')].map((row) => {
                const c = data.cases.find((one) => one.id === row.querySelector('th').textContent);
                const estimates = c.comparisons.filter((one) => !one.metric && one.ratio);
                return [c.id, row.lastChild.textContent, estimates.map((one) => 100 * (one.ratio - 1))];
            });
        })()""")
        assert len(shown) == 16 and all(estimates for _, _, estimates in shown)
        for case, cell, estimates in shown:
            assert any(cell in (f"{one:+.1f}\u00a0%", "+0.0\u00a0%") for one in estimates), (case, cell, estimates)


def test_dark_and_light(browser: Chromium) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(paper)
    browser.dark(True)
    dark = browser.run(paper)
    assert dark != light
    browser.run("document.getElementById('theme').click()")
    assert browser.run(paper) == light
    browser.run("localStorage.clear(); delete document.documentElement.dataset.theme")


def test_it_prints(browser: Chromium) -> None:
    browser.dark(True)
    assert browser.paper().startswith(b"%PDF")
    assert browser.run("document.getElementById('printed').childElementCount") == 0


def test_nothing_jumps_while_it_opens(browser: Chromium) -> None:
    shift = """new Promise((done) => { let sum = 0; new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) sum += entry.value; }).observe({ type: 'layout-shift', buffered: true });
        setTimeout(() => done(sum), 300); })"""
    assert browser.run(shift) < 0.05


def test_the_policy_stops_what_got_in(browser: Chromium) -> None:
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.invalid/x.png\">')")
    browser.run("new Promise((done) => setTimeout(done, 50))")
    assert any("Content Security Policy" in error and "blocked" in error for error in browser.errors)
    browser.requests.clear()  # it was asked for, and refused by the browser before it went anywhere
    browser.errors.clear()


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_text_of_documents_does_no_harm(started: Chromium, evil: str, tmp_path: Path) -> None:
    run = make_run(model=evil[:190], components={"driver": evil}, problems=[evil])
    verdict = verdict_saying(VerdictKind.INVALID, evil, evil)
    session = session_of([run], verdict)
    path = tmp_path / "evil.html"
    path.write_bytes(session_page(session, {run.case.id: [run]}, ResultsStore(tmp_path), tmp_path))
    started.size(390, 844)
    started.open("about:blank")
    started.errors.clear()
    started.run("window.alert = null")
    started.open(path.as_uri())
    href = started.run("document.querySelector('#table tbody a').getAttribute('href')")
    started.run("document.querySelector('#table tbody a').click()")
    started.until("!document.getElementById('case').hidden")
    assert href.startswith("#") and started.run("document.querySelectorAll('script').length") == 2
    assert started.run("document.documentElement.scrollWidth") <= 390
    assert started.errors == []
