"""The cases of a session, judged with one false-alarm rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from gaudi_perf.judging.case import Judgement, Rules, verdict_of
from gaudi_perf.statistics.common_shift import another_machine, without_common_shift
from gaudi_perf.statistics.multiple_testing import (
    FALSE_DISCOVERY_RATE,
    CommonSlowdown,
    common_slowdown,
    lond_level,
    regressed_among_all,
)
from gaudi_perf.statistics.verdict import Comparison, ComparisonSettings, decide
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.verdict import Reason, SharedErrorRate, Verdict, VerdictKind


@dataclass(frozen=True)
class Conclusion:
    """What all cases come to together.

    Attributes:
        added: the verdict of every case that is REGRESSED among all, and was not by the time that its test was judged.
        error_rate: the false-alarm rate; None if nothing was compared.
        common: the slowdown that nearly all cases share, if there is one.
    """

    added: Mapping[Case, Verdict]
    error_rate: SharedErrorRate | None = None
    common: CommonSlowdown | None = None


class MultipleTesting:
    """Gives each case its level before it is measured, and judges all of them together in the end."""

    def __init__(self, cases: int) -> None:
        self._cases = max(cases, 1)  # that will be measured
        self._judged: dict[Case, Judgement] = {}

    def rules(self, rules: Rules) -> Rules:
        """The rules for a case that is measured now: with the levels that those judged before leave it."""
        kinds = [judgement.verdicts[0].kind for judgement in self._judged.values()]
        slower, faster = (
            lond_level(self._cases, min(kinds.count(kind), self._cases))
            for kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED)
        )
        unusual = frozenset(
            label
            for label, cases in self._against().items()
            if another_machine([one.evidence for one in cases.values()])
        )
        return replace(rules, slower_level=slower, faster_level=faster, cases=self._cases, unusual=unusual)

    def add(self, case: Case, judgement: Judgement) -> None:
        """A case is judged."""
        self._judged[case] = judgement

    def conclude(self) -> Conclusion:
        """Judge all cases together. Only REGRESSED is added: no test's verdict is taken back."""
        comparisons = {
            case: replace(one, kind=VerdictKind.REGRESSED if judgement.alone else judgement.verdicts[0].kind)
            for case, judgement in self._judged.items()
            if (one := judgement.comparison) is not None
        }
        if not comparisons:
            return Conclusion({})
        beside_others = self._beside_others()
        comparisons |= beside_others
        regressed = regressed_among_all(comparisons)
        added = {}
        for case, judgement in self._judged.items():
            if case not in regressed or judgement.strongest is None:
                continue
            if case in beside_others:
                added[case] = _corrected(judgement.strongest, comparisons[case])
            elif judgement.alone is not None:
                added[case] = msgspec.structs.replace(judgement.alone, reason=Reason.SIGNIFICANT_AMONG_ALL)
        error_rate = SharedErrorRate(cases=self._cases, rate=FALSE_DISCOVERY_RATE)
        return Conclusion(added, error_rate, common_slowdown(comparisons, regressed))

    def _against(self) -> dict[str, dict[Case, Comparison]]:
        """The comparisons of latencies so far, by the baseline."""
        alike: dict[str, dict[Case, Comparison]] = {}
        for case, judgement in self._judged.items():
            one, strongest = judgement.comparison, judgement.strongest
            if one is not None and strongest is not None and strongest.metric == LATENCY:
                alike.setdefault(strongest.baseline, {})[case] = one
        return alike

    def _beside_others(self) -> dict[Case, Comparison]:
        """What is REGRESSED beside the other cases of its session, where a slow session leaves it INCONCLUSIVE.

        It is a second test of the case, so its p value counts twice. Only latencies against one baseline share a shift.
        """
        found = {}
        for same in self._against().values():
            for case, evidence in without_common_shift({case: one.evidence for case, one in same.items()}).items():
                one = decide(evidence, same[case].tolerance, ComparisonSettings())
                p = min(1.0, 2 * self._judged[case].gating * one.p_slower)
                if self._judged[case].open and one.kind == VerdictKind.REGRESSED and p < same[case].p_slower:
                    found[case] = replace(one, p_slower=p)
        return found


_ESTIMATED = (
    *("kind", "advice", "more_runs", "more_sessions", "ratio", "low", "high", "confidence"),
    *("smallest_visible_slowdown", "p_slower", "p_faster"),
)


def _corrected(verdict: Verdict, comparison: Comparison) -> Verdict:
    """The verdict of a case, by its comparison less what the other cases of its session share."""
    corrected = verdict_of(comparison)
    changed = {name: getattr(corrected, name) for name in _ESTIMATED}
    return msgspec.structs.replace(verdict, **changed, reason=Reason.SLOWER_THAN_OTHERS, more_seconds=None)
