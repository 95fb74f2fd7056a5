"""BLOOMZ with its real weights gives the completions that the article shows, as far as 16-bit arithmetic allows."""

from __future__ import annotations

from fixtures.completions import WrongCompletions


def test_completions(wrong_completions: WrongCompletions) -> None:
    wrong = wrong_completions()
    assert not wrong, "\n".join(wrong)
