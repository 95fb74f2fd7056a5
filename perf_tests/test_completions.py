"""BLOOMZ with its real weights gives the completions that the article shows."""

from __future__ import annotations

from fixtures.completions import CompleteReferences


def test_completions(complete_references: CompleteReferences) -> None:
    for reference, output in complete_references():
        assert output == reference.output
