"""Verdicts whose texts are chosen, as documents of earlier versions have them."""

from __future__ import annotations

from typing import Any

from gaudi_perf.vocabulary.verdict import Advice, Reason, Verdict, VerdictKind


def verdict_saying(kind: VerdictKind, text: str = "because", advice: str = "", **more: Any) -> Verdict:
    """A verdict with this reason and advice; texts are shown as they are."""
    code = Advice.TEXT if advice else Advice.NONE
    return Verdict(kind=kind, reason=Reason.TEXT, text=text, advice=code, advice_text=advice, **more)
