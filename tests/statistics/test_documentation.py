from __future__ import annotations

import re
import runpy
from pathlib import Path

from gaudi_perf.reports.wording import reason
from gaudi_perf.vocabulary.verdict import Reason, Verdict, VerdictKind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "verdicts.md"
NUMBERS = {"ratio": 1.08, "low": 1.061, "high": 1.099, "p_slower": 0.0001, "tolerance": 0.05}
NOISE = {"candidate_runs": 5, "baseline_runs": 5, "run_spread": 0.005, "session_spread": 0.01}


def test_the_example_of_the_page_on_verdicts_holds(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")
    runpy.run_path(str(program))


def test_the_pages_on_verdicts_refer_to_each_other_and_to_headings_that_there_are() -> None:
    for name in ("verdicts.md", "detection.md"):
        text = (DOCS / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([\w.]+\.md)(?:#([\w-]+))?\)", text)
        assert {"verdicts.md", "detection.md"} - {name} <= {page for page, _ in links}
        for page, heading in links:
            target = (DOCS / page).read_text(encoding="utf-8")
            headings = [title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", target, re.MULTILINE)]
            assert not heading or heading in headings, (name, page, heading)


def test_every_reason_has_its_sentence_on_the_page_on_verdicts() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \| (.*) \|$", text, re.MULTILINE)
    assert [code for codes, _ in rows for code in re.findall("`([a-z-]+)`", codes)] == [one.value for one in Reason]
    slower = Verdict(kind=VerdictKind.REGRESSED, reason=Reason.SLOWER, **NUMBERS, **NOISE)  # type: ignore[arg-type]
    assert rows[0][1] == reason(slower)
    seen = {"ratio": 1.003, "low": 0.99, "high": 1.016, "smallest_visible_slowdown": 0.031}
    same = Verdict(kind=VerdictKind.UNCHANGED, reason=Reason.WITHIN_TOLERANCE, **{**NUMBERS, **seen})  # type: ignore[arg-type]
    assert rows[1][1] == f"{reason(same)} (...)"
