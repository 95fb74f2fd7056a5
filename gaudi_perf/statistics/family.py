"""Many cases at once: one false-alarm rate for all the comparisons of a session."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from gaudi_perf.statistics.verdict import Comparison
from gaudi_perf.vocabulary.verdict import VerdictKind

K = TypeVar("K", bound=Hashable)

_COMMON_SHARE = 0.8
_MANY = 4


def regressed_among_all(comparisons: Mapping[K, Comparison], rate: float) -> set[K]:
    """The keys of those that are REGRESSED among the comparisons of a session.

    Each must be REGRESSED by itself, at its own permitted error, and pass the step-up procedure of Benjamini and
    Hochberg (1995) among all. Cases of a night share its luck, which is positive dependence; the procedure's rate
    holds under it (Benjamini and Yekutieli 2001).

    Args:
        comparisons: one for each case that could be compared.
        rate: the permitted expected share of false ones among those REGRESSED. If nothing changed in any case, also the
            probability of any REGRESSED at all.

    Raises:
        ValueError: the rate is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ValueError(f"the rate is {rate}, and must be between 0 and 1")
    if not comparisons:
        return set()
    from scipy.stats import false_discovery_control

    adjusted = false_discovery_control([one.p_slower for one in comparisons.values()], method="bh")
    return {
        name
        for (name, one), p in zip(comparisons.items(), adjusted, strict=True)
        if one.kind == VerdictKind.REGRESSED and p <= rate
    }


def what_all_share(comparisons: Mapping[K, Comparison], regressed: set[K]) -> str:
    """A change that nearly all cases share is what a slow machine looks like, too; empty if there is none."""
    if len(comparisons) < _MANY or len(regressed) < _COMMON_SHARE * len(comparisons):
        return ""
    shares = sorted(comparisons[name].ratio - 1 for name in regressed)
    return (
        f"{len(regressed)} of {len(comparisons)} are slower, by {shares[0]:.1%} to {shares[-1]:.1%}: a slow machine "
        "looks like that too, if its probes do not show it; side by side would tell."
    )
