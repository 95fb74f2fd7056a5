"""Notes of people on cases."""

from __future__ import annotations

from pathlib import Path

from gaudi_perf.reports.page import session_page
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.verdict import Origin
from tests.cli.conftest import Invoke, StoreRuns
from tests.golden_files import Golden
from tests.reports.factories import SLOWER
from tests.reports.test_page import Page, session_of
from tests.stores.factories import make_run

CASE = "bloomz7b-1x-graphs-kvcache"


def test_notes(invoke: Invoke, store_runs: StoreRuns, here: Path, golden: Golden) -> None:
    invoke.mistake("note", "--list")  # there is nothing to note anything of
    store_runs([make_run()])
    invoke("note", "--list")
    invoke.mistake("note", CASE)
    invoke.mistake("note", CASE, " ")
    invoke.mistake("note", CASE, "a text", "--list")
    assert invoke("note", CASE, "slower since the <b>new</b> firmware").exit_code == 0
    assert invoke("note", CASE, "on this device only", "--device", "gaudi3").exit_code == 0
    session = session_of([make_run()], SLOWER)
    page = Page(session_page(session, {CASE: [make_run()]}, ResultsStore(here / "results"), here))
    assert [words for _, words in page.case(CASE)["written"]] == ["slower since the <b>new</b> firmware"]  # type: ignore[attr-defined]
    assert len(invoke("note", "--list").output.splitlines()) == 4
    invoke.mistake("note", "--remove", 3)
    assert invoke("note", "--remove", 1).exit_code == 0
    assert '"text": "on this device only"' in invoke("note", "--list", "--json").output
    (here / "results/notes.json").write_text("{")
    invoke.mistake("note", "--list")
    page = Page(session_page(session, {CASE: [make_run()]}, ResultsStore(here / "results"), here))
    assert "notes.json: not a valid notes document" in "".join(page.texts)


def test_links_of_a_session(tmp_path: Path) -> None:
    from msgspec.structs import replace

    origin = Origin(system="GitHub Actions", commit="0123456789abcdef", run_url="https://ci.example/1", change="#12")
    session = replace(session_of([make_run()], SLOWER), origin=origin)
    page = Page(session_page(session, {CASE: [make_run()]}, ResultsStore(tmp_path), tmp_path))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert "https://ci.example/1" in links
    assert {"0123456789ab", "GitHub Actions", "#12"} <= {text.strip() for text in page.texts}
