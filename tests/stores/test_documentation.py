from __future__ import annotations

import re
from pathlib import Path

import msgspec

from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline, decode_baseline, encode_baseline

PAGE = Path(__file__).parents[2] / "docs" / "baselines.md"


def test_the_example_is_a_baseline_as_it_would_be_written() -> None:
    (example, *_) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert encode_baseline(decode_baseline(example.encode(), str(PAGE))).decode() == example


def test_every_field_is_in_the_tables() -> None:
    tables = "".join(line for line in PAGE.read_text().splitlines() if line.startswith("|"))
    fields = {field.name for kind in (Baseline, CaseBaseline) for field in msgspec.structs.fields(kind)}
    assert [name for name in sorted(fields) if f"`{name}`" not in tables] == []
