"""Many cases at once: one false-alarm rate for all the comparisons of a session.

A test cannot wait for the tests after it, so each case is judged before the next is measured (``lond_level``); when all
are there, the step-up procedure judges them together (``regressed_among_all``). A case that was REGRESSED before is
REGRESSED there, too: D such cases have p values of at most D * alpha / N. So the end only adds, and never takes back.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from gaudi_perf.statistics.verdict import Comparison
from gaudi_perf.vocabulary.verdict import VerdictKind

K = TypeVar("K", bound=Hashable)

FALSE_DISCOVERY_RATE = 0.01
_COMMON_SHARE = 0.8
_MANY = 4


def lond_level(cases: int, called: int, rate: float = FALSE_DISCOVERY_RATE) -> float:
    """The permitted error of a case that is judged before those after it: ``rate / cases * (1 + called)``.

    ``called`` is how many of all the cases were called before this one was measured. This is LOND with equal weights
    (Javanmard and Montanari 2015, "On Online Control of False Discovery Rate"). The expected share of false ones among
    those called is at most the rate, also for cases that share a session's luck, which is positive dependence, and for
    cases that are measured at the same time as others, whose results the level then does not use (Zrnic, Ramdas and
    Jordan 2021, "Asynchronous Online Testing of Multiple Hypotheses", JMLR 22). If nothing changed anywhere, the rate
    is also the probability of calling any case at all.

    Raises:
        ValueError: there are fewer cases than were called, or the rate is not between 0 and 1.
    """
    if not (0 <= called <= cases and cases >= 1):
        raise ValueError(f"{called} of {cases} cases were called: there must be one case at least, and no more called")
    if not 0 < rate < 1:
        raise ValueError(f"the rate is {rate}, and must be between 0 and 1")
    return rate * (1 + called) / cases


def regressed_among_all(comparisons: Mapping[K, Comparison], rate: float = FALSE_DISCOVERY_RATE) -> set[K]:
    """The keys of those that are REGRESSED among the comparisons of a session, one for each case.

    Each must be REGRESSED by itself, at its own permitted error, and pass the step-up procedure of Benjamini and
    Hochberg (1995) among all, at this rate of false ones among those REGRESSED. Cases of a session share its luck,
    which is positive dependence; the rate holds under it (Benjamini and Yekutieli 2001). If nothing changed in any
    case, it is also the probability of any REGRESSED at all.

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


@dataclass(frozen=True)
class CommonSlowdown:
    """A slowdown that nearly all cases share, which is what a slow machine looks like, too.

    Of ``compared`` cases, ``regressed`` are REGRESSED, by ratios from ``least`` to ``most``.
    """

    regressed: int
    compared: int
    least: float
    most: float


def common_slowdown(comparisons: Mapping[K, Comparison], regressed: set[K]) -> CommonSlowdown | None:
    """The slowdown that nearly all cases share; None if they do not, or are few."""
    if len(comparisons) < _MANY or len(regressed) < _COMMON_SHARE * len(comparisons):
        return None
    ratios = [comparisons[name].ratio for name in regressed]
    return CommonSlowdown(len(regressed), len(comparisons), min(ratios), max(ratios))
