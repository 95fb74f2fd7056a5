"""The static site: from nothing, and with what is new; whatever lies in the results directory."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from gaudi_perf.reports.page.render import script
from gaudi_perf.reports.site import write_site
from gaudi_perf.reports.site.feed import badge
from gaudi_perf.reports.site.records import INDEX_FILE, read_records
from gaudi_perf.stores.history import run_decoder
from gaudi_perf.stores.notes import NotesStore
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.note import Note
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session
from tests.reports.demonstration import Demonstration
from tests.reports.factories import SLOWER
from tests.reports.test_page import EVIL, session_of
from tests.stores.factories import make_run

CASES, NIGHTS = 6, 12


@pytest.fixture
def made(tmp_path: Path) -> Demonstration:
    made = Demonstration(tmp_path, cases=CASES, sessions=NIGHTS, runs=3)
    made.write()
    aged(tmp_path / "results")
    return made


def aged(results: Path) -> None:
    """As if all of it had been written an hour ago: what is younger than two seconds is not kept in the index."""
    for folder in [results, *(one for one in results.iterdir() if one.is_dir())]:
        os.utime(folder, ns=(10**18, folder.stat().st_mtime_ns - 3600 * 10**9))


def site_of(made: Demonstration, name: str = "site") -> tuple[Path, int, list[str]]:
    output = made.results.directory.parent / name
    _, written, problems = write_site(output, made.results.directory, made.baselines.directory)
    return output, written, problems


def data_of(output: Path, path: str) -> Any:
    return json.loads((output / path).read_text().partition("] = ")[2].rstrip().rstrip(";"))


def page_of(output: Path, path: str) -> Any:
    return json.loads((output / path).read_text().partition('id="data">')[2].partition("</script>")[0])


def content(output: Path) -> dict[str, bytes]:
    return {str(file.relative_to(output)): file.read_bytes() for file in output.rglob("*") if file.is_file()}


def test_what_is_there(made: Demonstration) -> None:
    output, _, problems = site_of(made)
    assert problems == []
    names, index = data_of(output, "data/names.js"), data_of(output, "data/index.js")
    assert len(names["trends"]) == CASES and sorted(names["cases"]) == sorted(case.id for case in made.cases)
    assert "slower" in index["newest"]["title"]
    assert len(index["sparks"]) == CASES and len(index["previous"]) == NIGHTS - 1
    page = page_of(output, f"cases/gaudi2.{made.cases[3].id}.html")
    assert len(page["trend"]["level"]) == NIGHTS and page["trend"]["at"] == sorted(page["trend"]["at"])
    assert [stack for stack, _, _ in page["levels"]] == [f"synapse-1.2{minor}.0" for minor in range(5)]
    releases = data_of(output, "data/releases.js")
    assert [one["name"] for one in releases] == [f"synapse-1.2{minor}.0" for minor in range(5)]
    assert all(len(one["trend"]) == CASES for one in releases)
    sessions = data_of(output, "data/sessions.js")
    assert len(sessions) == NIGHTS and sum(sessions[0]["counts"].values()) == CASES
    session = data_of(output, f"sessions/{sessions[0]['id']}.js")
    assert sorted(session["case"]) == list(range(CASES)) and all(level > 0 for level in session["level"])


def test_levels_are_those_of_the_page(made: Demonstration) -> None:
    """One home: the same runs, the same level, the same changes."""
    from gaudi_perf.judging.trends import changes_of, trends
    from gaudi_perf.stores.history import read_history

    output, _, _ = site_of(made)
    for trend in trends(read_history(made.results.directory).runs).values():
        page = page_of(output, f"cases/gaudi2.{trend.key.case.id}.html")
        by_time = sorted(trend.sessions, key=lambda one: one.started_at)
        assert page["trend"]["level"] == pytest.approx([one.level_s for one in by_time], rel=1e-4)
        assert page["trend"]["low"] == pytest.approx([one.quartiles_s[0] for one in by_time], rel=1e-4)
        assert len(page["trend"].get("changes", [])) == len(changes_of(trend).changes)


def test_a_further_session_reads_and_writes_what_is_new(made: Demonstration, monkeypatch: pytest.MonkeyPatch) -> None:
    output, first, _ = site_of(made)
    assert first == len(content(output))
    assert site_of(made)[1] == 0
    read: list[str] = []
    decoder = run_decoder()

    def reading(path: str) -> Run:
        read.append(path)
        return decoder(path)

    monkeypatch.setattr("gaudi_perf.reports.site.records.run_decoder", lambda: reading)
    run = make_run(1.5, session="20270101T000000.000000Z-0", started_at="2027-01-01T00:00:00Z")
    made.results.write_run(run)
    before = content(output)
    output, written, _ = site_of(made)
    assert [Path(path).name for path in read] == [f"run-{run.run_id}.json"]
    changed = {path for path, data in content(output).items() if before.get(path) != data}
    assert len(changed) == written and f"cases/gaudi2.{run.case.id}.html" in changed
    assert not any(path.startswith("cases/") and run.case.id not in path for path in changed)
    whole, _, _ = site_of(made, "whole")
    assert content(whole) == content(output)  # from nothing it is the same


def test_without_the_index_it_is_the_same(made: Demonstration, monkeypatch: pytest.MonkeyPatch) -> None:
    index = made.results.directory / INDEX_FILE
    one = content(site_of(made, "one")[0])
    monkeypatch.setattr("gaudi_perf.reports.site.build._MANY", 0)  # several processes search
    assert index.is_file()
    index.write_bytes(b"damaged")
    assert content(site_of(made, "two")[0]) == one
    index.unlink()
    index.mkdir()  # it cannot be written
    assert content(site_of(made, "three")[0]) == one


def test_a_session_that_goes_away_or_is_there_twice(made: Demonstration) -> None:
    site_of(made)
    folders = sorted(made.results.directory.glob("2*"))
    shutil.copytree(folders[0], made.results.directory / "copies" / folders[0].name)
    shutil.rmtree(folders[1])
    output, _, problems = site_of(made)
    assert len(data_of(output, "data/sessions.js")) == NIGHTS - 1
    assert len(problems) == 1 and "is there again as" in problems[0]
    page = page_of(output, f"cases/gaudi2.{made.cases[0].id}.html")
    places = data_of(output, "data/places.js")
    assert len(page["sessions"]) == NIGHTS - 1  # and each is the session that it says
    assert [places[place][:8] for place in page["sessions"]] == [
        f"{datetime.fromtimestamp(at * 60, timezone.utc):%Y%m%d}" for at in page["trend"]["at"]
    ]


def test_a_note_is_shown_and_goes_again(made: Demonstration) -> None:
    case = made.cases[2].id
    site_of(made)
    notes = NotesStore(made.results.directory)
    notes.add(Note(case=case, text="known", added_at="2026-04-01T00:00:00Z"))
    output, written, _ = site_of(made)
    assert page_of(output, f"cases/gaudi2.{case}.html")["written"] == [["2026-04-01", "known"]] and written == 2
    notes.remove(1)
    assert site_of(made)[1] == 2 and page_of(output, f"cases/gaudi2.{case}.html")["written"] == []


def test_what_cannot_be_read_is_named(made: Demonstration) -> None:
    folder = next(made.results.directory.glob("2*"))
    (folder / "run-broken.json").write_text("{")
    (made.results.directory / "notes.json").write_text("{")
    next(made.baselines.directory.rglob("*.json")).write_text("{")
    output, _, problems = site_of(made)
    assert {problem.partition(": ")[0].rpartition("/")[2] for problem in problems} == {
        "run-broken.json", "notes.json", "synapse-1.23.0.json",
    }  # fmt: skip
    assert len(data_of(output, "data/sessions.js")) == NIGHTS


def test_a_directory_whose_name_is_not_utf_8_is_left_out_and_named(made: Demonstration) -> None:
    folder = next(made.results.directory.glob("2*"))
    folder.rename(folder.with_name(os.fsdecode(b"\xff")))
    output, _, problems = site_of(made)
    (problem,) = problems
    assert problem.endswith(": its name is not UTF-8, and it is left out: rename it")
    assert len(data_of(output, "data/sessions.js")) == NIGHTS - 1


def test_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such results directory"):
        write_site(tmp_path / "site", tmp_path / "results", tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(UserError, match="holds no session"):
        write_site(tmp_path / "site", tmp_path / "results", tmp_path)


def test_cases_that_differ_in_what_their_id_does_not_show_have_pages_of_their_own(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path / "results")
    for run in (make_run(), make_run(cpu="other"), make_run(weights="hub"), make_run(device="gaudi3")):
        store.write_run(run)
    write_site(tmp_path / "site", store.directory, tmp_path)
    assert len(list((tmp_path / "site/cases").iterdir())) == 4
    more = [one.get("more", "") for one in data_of(tmp_path / "site", "data/names.js")["trends"]]
    assert len({*more}) >= 3


STORABLE = {name: text for name, text in EVIL.items() if name != "half a character"}  # no document can hold that


@pytest.mark.parametrize("evil", STORABLE.values(), ids=STORABLE)
def test_text_of_documents_does_no_harm(evil: str, tmp_path: Path) -> None:
    store = ResultsStore(tmp_path / "results")
    run = replace(make_run(model=evil[:190], components={"driver": evil}), stack_label=evil[:190])
    store.write_run(run)
    verdict = replace(SLOWER, baseline=evil or "x")
    session = session_of([run], verdict)
    store.write_session(session)
    write_site(tmp_path / "site", store.directory, tmp_path, name=evil)
    pages = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert all(path.resolve().is_relative_to(tmp_path / "site") for path in pages)
    for path in pages:
        text = path.read_text("utf-8")
        assert not set(text) & set("\x1b\x07\u202e\u2066\u2028\u2029")
        if path.suffix == ".html":
            assert text.count("<script") == text.count("</script>") and "<script>alert" not in text
        if path.suffix in (".xml", ".svg"):
            ElementTree.fromstring(text)
        if path.suffix == ".js" and path.parent.name != "assets":
            assert "<" not in text.partition("] = ")[2]


def test_the_feed(made: Demonstration) -> None:
    output = made.results.directory.parent / "site"
    write_site(output, made.results.directory, made.baselines.directory, address="https://perf.example/")
    feed = ElementTree.fromstring((output / "feed.xml").read_text())
    atom = "{http://www.w3.org/2005/Atom}"
    entries = feed.findall(f"{atom}entry")
    assert [entry.findtext(f"{atom}title") for entry in entries] == [
        data_of(output, "data/index.js")["newest"]["title"]
    ]
    assert f"{made.cases[3].id}: 8" in (entries[0].findtext(f"{atom}summary") or "")
    link = entries[0].find(f"{atom}link")
    assert link is not None and link.attrib["href"].startswith("https://perf.example/sessions/")
    assert (output / link.attrib["href"].removeprefix("https://perf.example/")).is_file()


def test_the_badge(made: Demonstration) -> None:
    newest = read_records(made.results.directory).records.sessions[-1]
    titles = {
        "2 cases are slower": "#c24e00",
        "No case is slower": "#00795a",
        "No case is slower; 2 of 9 are undecided": "#946200",
        "1 case is INVALID": "#a8447a",
        "": "#a8447a",
    }
    for words, colour in titles.items():
        picture = badge(replace(newest, title=words))
        ElementTree.fromstring(picture)
        assert colour in picture


def test_scripts_are_put_together_in_the_order_of_need() -> None:
    text = script("site")
    assert text.index("const numbersModule") < text.index("const plotsModule") < text.index("const siteModule")
    assert "import {" not in text and "export " not in text and text.count("const elementsModule") == 1


def test_a_session_without_cases(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path / "results")
    times = {"started_at": "2026-01-31T12:00:00Z", "ended_at": "2026-01-31T12:01:00Z"}
    store.write_session(Session(session_id="s", cases=[], **times))
    write_site(tmp_path / "site", store.directory, tmp_path)
    assert data_of(tmp_path / "site", "data/index.js")["newest"]["title"] == "Nothing was measured"
