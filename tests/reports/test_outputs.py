"""Markdown, CSV, JUnit properties, interval bars, and what comes next."""

from __future__ import annotations

import csv
import html
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.reports.answers import verdicts_frame
from gaudi_perf.reports.junit import case_properties
from gaudi_perf.reports.markdown import LONGEST, session_markdown
from gaudi_perf.reports.terminal import interval_bar, summary
from gaudi_perf.reports.text import encodable, escaped
from gaudi_perf.reports.wording import next_commands
from gaudi_perf.stores.frames import csv_text, spreadsheet_safe
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict, VerdictKind
from tests.golden_files import Golden
from tests.reports.factories import EVERY_RUN, EVERYTHING
from tests.reports.test_page import EVIL, REGRESSED, session_of
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying

UNCHANGED = verdict_saying(VerdictKind.UNCHANGED, "the same", ratio=1.0, low=0.98, high=1.02, baseline="b")


def many(count: int, verdict: Verdict) -> tuple[Session, dict[str, list[Run]]]:
    runs = {run.case.id: [run] for run in (make_run(devices=index + 1) for index in range(count))}
    cases = [CaseReport(case=run.case, run_ids=[run.run_id], verdicts=[verdict]) for (run,) in runs.values()]
    times = {"started_at": "2026-01-31T12:00:00Z", "ended_at": "2026-01-31T12:01:00Z"}
    return Session(session_id="s", cases=cases, **times), runs


def test_markdown(golden: Golden) -> None:
    shown = session_markdown(EVERYTHING, EVERY_RUN, ["gaudi-perf report"])
    golden("markdown/every_verdict.md", shown)
    assert shown.index("</details>") < shown.index("gaudi-perf report")


def test_markdown_of_a_quiet_session_has_no_table_outside() -> None:
    head, details = session_markdown(*many(3, UNCHANGED)).split("<details>")
    assert "|" not in head and details.count("= UNCHANGED") == 3


def test_markdown_of_a_thousand_cases_fits_a_comment() -> None:
    shown = session_markdown(*many(1000, REGRESSED))
    assert len(shown) <= LONGEST and re.search(r"… and \d+ more: the HTML report has all", shown)
    assert shown.rstrip().endswith("</details>")


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_markdown_shows_any_text_as_text(evil: str) -> None:
    run = make_run(model=evil[:190], components={evil: evil})
    verdict = verdict_saying(VerdictKind.INVALID, evil, evil, baseline=evil)
    shown = session_markdown(session_of([run], verdict, waived=evil), {run.case.id: [run]}, [evil])
    text, _, commands = shown.partition("```")
    for tag in re.findall(r"<[^>]*>", text):
        assert tag in ("<details>", "</details>", "<summary>", "</summary>")
    assert not set(shown) & set("\x1b\x07\u202e\u2066\u2028\u2029\ud800") and commands.count("```") == 1
    assert not re.search(r"[`\[\]*_$]|@\w|://", text.replace("…", ""))


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_no_text_controls_a_terminal(evil: str) -> None:
    run = make_run(model=evil[:190], components={evil: evil})
    verdicts = [
        verdict_saying(kind, evil, evil, baseline=evil, metric=metric, ratio=1.2, low=1.1, high=1.3)
        for kind, metric in ((VerdictKind.INVALID, "latency"), (VerdictKind.REGRESSED, "memory"))
    ]
    session = session_of([run], verdicts[0], waived=evil, failed=evil, notes=[evil], others=verdicts[1:])
    shown = summary(session, {run.case.id: [run]}, width=30_000, color=False)
    assert not set(shown) & set("\x1b\x07\u202e\u2066\u2028\u2029\ud800")
    assert "it does not gate" in shown and "waived: " in shown and "not judged: " in shown


@given(st.text(st.characters(), max_size=80))
def test_what_is_escaped_reads_as_it_was(text: str) -> None:
    shown = escaped(text)
    assert not set(shown) & set('<>"`*_[]{}|\\@$\n\x1b')
    clean = " ".join(text.split())
    if clean.isprintable():
        assert html.unescape(shown).replace("\u2060", "") == clean.replace("\u2060", "")


@given(st.text(st.characters(), min_size=1, max_size=20))
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    safe = spreadsheet_safe(text)
    assert isinstance(safe, str) and safe[0] not in "=+-@" and len(safe.splitlines()) == 1
    assert not text.isprintable() or "::" in text or "##" in text or safe.removeprefix("'") == text.removeprefix("'")


def test_csv(golden: Golden) -> None:
    """A row for every verdict, and one for every case without."""
    text = csv_text(verdicts_frame(EVERYTHING, EVERY_RUN))
    golden("verdicts.csv", text)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == sum(len(report.verdicts) or 1 for report in EVERYTHING.cases)


def test_junit_properties(golden: Golden) -> None:
    shown = [
        f"{name}: {value}"
        for report in EVERYTHING.cases
        for name, value in [("case", report.case.id), *case_properties(report.verdicts, report.waived)]
    ]
    golden("junit.txt", "\n".join(shown))
    assert case_properties([]) == []


JUNIT = """
import pytest
from gaudi_perf.reports.junit import case_properties
from gaudi_perf.vocabulary.verdict import Reason, Verdict, VerdictKind

def test_it(request):
    verdict = Verdict(kind=VerdictKind.INVALID, reason=Reason.TEXT, text={evil!r}, baseline={evil!r})
    request.node.user_properties.extend(case_properties([verdict], {evil!r}))
"""


def test_junit_files_are_well_formed_whatever_is_in_them(tmp_path: Path) -> None:
    evil = "".join(chr(code) for code in range(32)) + "".join(EVIL.values()) + "\uffff\ufffe]]>"
    (tmp_path / "test_it.py").write_text(JUNIT.format(evil=evil), encoding="utf-8", errors="surrogatepass")
    text = JUNIT.format(evil=evil.encode("unicode_escape").decode()).replace("\\\\", "\\")
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", "out.xml", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    root = ElementTree.fromstring((tmp_path / "out.xml").read_bytes())
    properties = {item.get("name"): item.get("value") or "" for item in root.iter("property")}
    assert {"gaudi-perf reason", "gaudi-perf baseline", "gaudi-perf waived"} <= properties.keys()
    assert all(value.isprintable() and len(value) <= 400 for value in properties.values())


@pytest.mark.parametrize("width", [5, 7, 9, 17])
def test_bars(width: int) -> None:
    same = interval_bar(0.99, 1.0, 1.01, tolerance=0.05, width=width)
    assert len(same) == width and same[width // 2] == "●"
    slower = interval_bar(1.1, 1.15, 1.2, tolerance=0.05, width=width)
    assert "│" in slower and slower.index("●") > width // 2
    faster = interval_bar(0.8, 0.85, 0.9, tolerance=0.05, width=width)
    assert faster.index("●") < width // 2
    beyond = interval_bar(1.1, 3.0, 9.0, tolerance=0.05, width=width)
    assert beyond.endswith("▸") and "●" not in beyond


@given(st.floats(1e-3, 1e3), st.floats(1, 10), st.floats(1, 10), st.sampled_from([5, 7, 9, 13, 17]))
def test_bars_have_their_width(ratio: float, below: float, above: float, width: int) -> None:
    assert len(interval_bar(ratio / below, ratio, ratio * above, tolerance=0.05, width=width)) == width


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    assert encodable("──●│ 1 µs…", "ascii") == "--o| 1 us~"
    assert encodable("──●", "utf-8") == "──●" and encodable("──●", None) == "──●"
    encodable("名前", "latin-1").encode("latin-1")


def test_next_commands_can_be_pasted() -> None:
    session, _ = many(1, REGRESSED)
    look, level = next_commands(session, "my results", "baselines")
    words = shlex.split(look.partition(": ")[2])
    assert words == ["gaudi-perf", "report", "s", "--results-dir", "my results", "--html", "report.html"]
    assert shlex.split(level.partition(": ")[2])[:4] == ["gaudi-perf", "baselines", "refresh", "my results/s"]
    assert "--accept-regression" in level
    assert len(next_commands(many(1, UNCHANGED)[0], "results", "baselines")) == 1
    assert (
        next_commands(
            Session(session_id="s", started_at=session.started_at, ended_at=session.ended_at, cases=[]), "r", "b"
        )
        == []
    )
