"""The cases of a session as one family, with one false-alarm rate."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import msgspec

from gaudi_perf.judging.case import Judgement
from gaudi_perf.judging.rules import Rules
from gaudi_perf.statistics.family import regressed_among_all, what_all_share
from gaudi_perf.statistics.online import FAMILY_RATE, online_level
from gaudi_perf.statistics.verdict import Comparison
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

K = TypeVar("K", bound=Hashable)

_CERTAIN = (VerdictKind.REGRESSED, VerdictKind.IMPROVED)


@dataclass(frozen=True)
class Conclusion(Generic[K]):
    """What all cases come to together.

    Attributes:
        added: the verdict of every case that is REGRESSED among all, and was not by the time that its test was judged.
        statement: the false-alarm rate, in a sentence.
        remark: what the cases have in common, or empty.
    """

    added: Mapping[K, Verdict]
    statement: str
    remark: str


class SessionFamily(Generic[K]):
    """Gives each case its level before it is measured, and looks at all of them in the end.

    Cases are told apart by keys: a session's by the whole case.
    """

    def __init__(self, cases: int, rate: float = FAMILY_RATE) -> None:
        """No case is judged yet.

        Args:
            cases: how many cases will be measured.
            rate: the false-alarm rate of all.
        """
        self._cases = max(cases, 1)
        self._rate = rate
        self._judged: dict[K, Judgement] = {}

    def rules(self, rules: Rules) -> Rules:
        """The rules for a case that is measured now: with the levels that those judged before leave it."""
        slower, faster = (
            sum(judgement.verdicts[0].kind == kind for judgement in self._judged.values()) for kind in _CERTAIN
        )
        return replace(
            rules,
            slower_level=online_level(self._cases, min(slower, self._cases), self._rate),
            faster_level=online_level(self._cases, min(faster, self._cases), self._rate),
            cases=self._cases,
        )

    def add(self, key: K, judgement: Judgement) -> None:
        """A case is judged."""
        self._judged[key] = judgement

    def conclude(self) -> Conclusion[K]:
        """Look at all cases together. Only REGRESSED is added: no test's verdict is taken back."""
        comparisons: dict[K, Comparison] = {}
        for key, judgement in self._judged.items():
            one = judgement.comparison
            if one is not None:
                kind = VerdictKind.REGRESSED if judgement.alone is not None else judgement.verdicts[0].kind
                comparisons[key] = replace(one, kind=kind)
        if not comparisons:
            return Conclusion({}, "", "")
        regressed = regressed_among_all(comparisons, self._rate)
        added = {
            key: msgspec.structs.replace(alone, reason=f"{alone.reason}; certain among all cases of the session")
            for key, judgement in self._judged.items()
            if key in regressed and (alone := judgement.alone) is not None
        }
        remark = what_all_share(comparisons, regressed)
        return Conclusion(added, _statement(self._cases, self._rate), remark)


def _statement(cases: int, rate: float) -> str:
    chance = f"if nothing changed, the chance of any false REGRESSED is at most {rate:.0%}"
    return chance if cases == 1 else f"one false-alarm rate over the {cases} cases: {chance}"
