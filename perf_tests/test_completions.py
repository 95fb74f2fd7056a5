"""BLOOMZ with its real weights gives the completions that the article shows, as far as 16-bit arithmetic allows."""

from __future__ import annotations

from gaudi_perf.pytest_plugin import WrongCompletions


def test_completions(wrong_completions: WrongCompletions) -> None:
    wrong = wrong_completions("bloomz176b")
    assert not wrong, "\n".join(wrong)
