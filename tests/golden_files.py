"""Golden files: what the suite writes for people, under ``tests/golden/``, to be read and reviewed as they read it.

A test hands over a text, ``golden("compare/article.txt", text)``, and fails with a diff where the file says something
else. ``pytest tests --update-golden`` writes the files anew; ``git diff tests/golden`` shows what changed for readers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest

import gaudi_perf

DIRECTORY = Path(__file__).parent / "golden"
_STARTED = datetime.now(timezone.utc)


class Golden:
    """Compares texts with golden files, or writes them."""

    def __init__(self, *, update: bool, places: Mapping[str, str]) -> None:
        """Compare, or update.

        Args:
            places: directories that are elsewhere each time, and what stands for them.
        """
        self._update = update
        self._places = places

    def __call__(self, name: str, text: str, *, dated: bool = False) -> None:
        """Fail if the golden file of this name says something else.

        Args:
            name: the file under ``tests/golden/``.
            text: what is shown now.
            dated: whether it has the date of today.
        """
        path = DIRECTORY / name
        text = self._normalised(text)
        for today in (_STARTED, datetime.now(timezone.utc)) if dated else ():
            text = text.replace(f"{today:%Y-%m-%d}", "YYYY-MM-DD")
        known = path.read_text("utf-8") if path.is_file() else ""
        if text == known:
            return
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            return
        lines = difflib.unified_diff(known.splitlines(), text.splitlines(), f"tests/golden/{name}", "now", lineterm="")
        pytest.fail("\n".join([*lines, "", "if it should be so: pytest tests --update-golden"]), pytrace=False)

    def _normalised(self, text: str) -> str:
        """The text without what differs from machine to machine; colours are made visible."""
        for place, shown in self._places.items():
            text = text.replace(place, shown)
        text = re.sub(rf"(gaudi-perf,?(?: version)? ){re.escape(gaudi_perf.__version__)}", r"\1VERSION", text)
        text = re.sub(r"\brun-\d{6}\b", "run-NNNNNN", text)  # make_run counts all runs of a process
        # The last digits of a double are the machine's.
        text = re.sub(r"(?<![\w.])\d+\.\d{7,}(?![\w.])", lambda number: f"{float(number[0]):.6g}", text)
        text = text.replace("\x1b", "␛")
        return "\n".join(line.rstrip() for line in text.strip("\n").split("\n")) + "\n"
