"""Many cases at once: one false-alarm rate for all the comparisons of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gaudi_perf.statistics.verdict import Comparison
from gaudi_perf.vocabulary.verdict import VerdictKind

_FALSE_DISCOVERIES = 0.01
_COMMON_SHARE = 0.8
_MANY = 4


@dataclass(frozen=True)
class Family:
    """The comparisons of a session, judged together.

    Attributes:
        comparisons: by the names they were given with; REGRESSED and IMPROVED only where the family upholds it.
        false_discoveries: expected share of false ones among those REGRESSED, at most (and among those IMPROVED). If
            nothing changed in any case, also the probability of any REGRESSED at all.
        withdrawn: names of those that were REGRESSED or IMPROVED alone, and are INCONCLUSIVE among so many.
        statement: all this in a sentence, for the summary.
        remark: what the cases have in common, or empty.
    """

    comparisons: Mapping[str, Comparison]
    false_discoveries: float
    withdrawn: tuple[str, ...]
    statement: str
    remark: str


def judge_family(comparisons: Mapping[str, Comparison], false_discoveries: float = _FALSE_DISCOVERIES) -> Family:
    """Judge the comparisons of a session together.

    Each keeps its own permitted error, and a REGRESSED (or IMPROVED) must also pass the step-up procedure of Benjamini
    and Hochberg (1995) among all cases that could be judged. Cases of a night share its luck, which is
    positive dependence; the procedure's rate holds under it (Benjamini and Yekutieli 2001).

    Args:
        comparisons: by a name each, for instance case id and metric; those without a ratio stay out.
        false_discoveries: the permitted expected share of false ones among those called.

    Raises:
        ValueError: the share is not between 0 and 1.
    """
    if not 0 < false_discoveries < 1:
        raise ValueError(f"false_discoveries is {false_discoveries}, and must be between 0 and 1")
    judged = dict(comparisons)
    withdrawn = []
    for kind, evidence in (
        (VerdictKind.REGRESSED, {name: one.p_slower for name, one in comparisons.items()}),
        (VerdictKind.IMPROVED, {name: one.p_faster for name, one in comparisons.items()}),
    ):
        upheld = _upheld(evidence, false_discoveries)
        for name, one in comparisons.items():
            if one.kind == kind and name not in upheld:
                judged[name] = _withdraw(one, len(comparisons))
                withdrawn.append(name)
    return Family(
        comparisons=judged,
        false_discoveries=false_discoveries,
        withdrawn=tuple(withdrawn),
        statement=_statement(len(comparisons), false_discoveries, len(withdrawn)),
        remark=_remark(judged),
    )


def _upheld(evidence: Mapping[str, float], rate: float) -> set[str]:
    if not evidence:
        return set()
    from scipy.stats import false_discovery_control

    adjusted = false_discovery_control(list(evidence.values()), method="bh")
    return {name for name, p in zip(evidence, adjusted, strict=True) if p <= rate}


def _withdraw(one: Comparison, cases: int) -> Comparison:
    return replace(
        one,
        kind=VerdictKind.INCONCLUSIVE,
        reason=f"{one.ratio - 1:+.1%}, certain if this were the only case, and not among {cases} ({one.reason})",
        advice="Measure this case again by itself.",
    )


def _statement(cases: int, rate: float, withdrawn: int) -> str:
    text = (
        f"{cases} {'comparison' if cases == 1 else 'comparisons'} judged as one family: if nothing changed, the chance "
        f"of any false REGRESSED is at most {rate:.0%}"
    )
    return f"{text}; {withdrawn} withdrawn" if withdrawn else text


def _remark(comparisons: Mapping[str, Comparison]) -> str:
    """A change that all cases share is what a slow machine looks like, too."""
    changed = [one for one in comparisons.values() if one.kind == VerdictKind.REGRESSED]
    if len(comparisons) < _MANY or len(changed) < _COMMON_SHARE * len(comparisons):
        return ""
    shares = sorted(one.ratio for one in changed)
    return (
        f"{len(changed)} of {len(comparisons)} are slower, by {shares[0] - 1:.1%} to {shares[-1] - 1:.1%}: a slow "
        "machine looks like that too, if its probes do not show it; side by side would tell."
    )
