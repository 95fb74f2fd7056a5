"""Makes the pictures of README and documentation anew, from made-up results.

    python benchmarks/pictures.py

writes ``docs/images/summary.svg``, what ``gaudi-perf report`` prints, and ``docs/images/page.png``, the page of
``gaudi-perf report --html`` in Chromium.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parents[1]))

from gaudi_perf.stores.results import SESSION_FILE
from tests.browser import chromium
from tests.reports.demonstration import Demonstration

IMAGES = Path(__file__).parents[1] / "docs/images"
COLUMNS = 137
FONT = re.compile(r"@font-face \{.*?\}\s*", re.S)
"""rich's fonts would be loaded from elsewhere."""


def report(place: Path, *options: str) -> str:
    """What ``gaudi-perf report`` prints on a terminal."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "gaudi_perf", "report", *options]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False).stdout


def summary(place: Path) -> str:
    """The summary as SVG."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(Text.from_ansi("$ gaudi-perf report\n" + report(place)))
    return FONT.sub("", console.export_svg(title="gaudi-perf", theme=MONOKAI, unique_id="summary"))


def main() -> None:
    executable = chromium.find()
    if executable is None:
        sys.exit("no Chromium is installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        made = Demonstration(place, cases=8, sessions=40, runs=5)
        session = made.write()
        earlier = [
            msgspec.structs.replace(case, verdicts=[one for one in case.verdicts if one.role == "release"])
            for case in session.cases
        ]
        (made.results.directory / session.session_id / SESSION_FILE).unlink()
        made.results.write_session(msgspec.structs.replace(session, cases=earlier))
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / "summary.svg").write_text(summary(place), "utf-8")
        report(place, "--html", "report.html")
        browser = chromium.Chromium(executable, place)
        browser.size(1280, 800)
        browser.open((place / "report.html").as_uri())
        browser.picture(IMAGES / "page.png", whole=False)
        browser.close()


if __name__ == "__main__":
    main()
