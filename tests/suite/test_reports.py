"""What a session is asked to write: a page, Markdown, JUnit properties."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.suite.conftest import Scripted, Suite


def test_a_session_writes_its_reports(suite: Suite, scripted: Scripted) -> None:
    names = {"--perf-html": "p.html", "--perf-markdown": "p.md", "--junitxml": "j.xml"}
    files = {option: suite.place / name for option, name in names.items()}
    options = [word for option, path in files.items() for word in (option, str(path))]
    outcome = suite("-k", "bloomz7b-1x-eager-kvcache", *options, injected=scripted())
    assert outcome.status == 0, outcome.output
    assert "bloomz7b-1x-eager-kvcache" in files["--perf-html"].read_text()
    assert files["--perf-markdown"].read_text().startswith("### gaudi-perf: 1 NO BASELINE")
    properties = {
        item.get("name"): item.get("value")
        for item in ElementTree.fromstring(files["--junitxml"].read_bytes()).iter("property")
    }
    assert properties["gaudi-perf verdict"] == "NO BASELINE" and properties["gaudi-perf reason"]
    assert "look closer: gaudi-perf report" in outcome.output


def test_a_report_without_a_place_is_reported_before_anything_is_measured(suite: Suite, tmp_path: Path) -> None:
    outcome = suite("-k", "bloomz7b-1x", "--perf-html", str(tmp_path / "none" / "p.html"))
    assert outcome.status == 4 and "it takes a file in a directory that is there" in outcome.output
