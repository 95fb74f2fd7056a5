"""The line that says what was measured on what."""

from __future__ import annotations

from msgspec.structs import replace

from gaudi_perf.reports.terminal import heading
from tests.stores.making import make_run


def test_without_a_tokenizer_it_says_that_fixed_ids_stand_for_the_prompt() -> None:
    run = make_run()
    dummy, real = (replace(run, case=replace(run.case, weights=weights)) for weights in ("dummy", "hub"))
    assert "dummy weights, fixed ids for the prompt" in heading(dummy)
    assert "hub weights" in heading(real) and "fixed ids" not in heading(real)
