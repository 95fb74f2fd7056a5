"""The table of families in docs/models.md, which benchmarks/families.py makes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from gaudi_perf.vocabulary.families import families

ROOT = Path(__file__).parents[2]


def test_the_table_has_every_family_and_every_reason() -> None:
    spec = importlib.util.spec_from_file_location("benchmark_families", ROOT / "benchmarks" / "families.py")
    assert spec is not None and spec.loader is not None
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    page = (ROOT / "docs" / "models.md").read_text()
    made = page.split(command.BEGIN)[1].split(command.END)[0].strip()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in made.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == list(families())
    assert [name.split()[0] for name in rows[0][1:]] == ["cpu"] * 4 + ["emulated"] * 4
    reasons = {cell for row in rows[2:] for cell in row[1:]} - {command.EQUAL}
    notes = re.findall(r"^(\d+)\. \S", made, re.MULTILINE)
    assert reasons == {f"({number})" for number in notes}
    assert command.written(page, made) == page
