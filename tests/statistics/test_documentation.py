from __future__ import annotations

import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "verdicts.md"


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
