"""Cases that are judged one after the other, each before the next is measured, with one false-alarm rate for all.

A test cannot wait for the tests after it. The level of the t-th of N cases is

    alpha_t = (alpha / N) * (1 + number of cases called before it was measured)

which is LOND with equal weights (Javanmard and Montanari 2015, "On Online Control of False Discovery Rate"). The
expected share of false ones among those called is at most alpha, also for cases that share a night's luck, which is
positive dependence, and for cases that are measured at the same time as others, whose results the level then does not
use (Zrnic, Ramdas and Jordan 2021, "Asynchronous Online Testing of Multiple Hypotheses", JMLR 22). If nothing changed
anywhere, alpha is also the probability of calling any case at all.

Whatever is called so is called by the step-up procedure over all N cases at the end (Benjamini and Hochberg 1995), too:
D called cases have evidence of at most D * alpha / N. So the end only adds to it, and never takes back.
"""

from __future__ import annotations

FAMILY_RATE = 0.01


def online_level(cases: int, called: int, rate: float = FAMILY_RATE) -> float:
    """The permitted error of a case.

    Args:
        cases: how many there are in all; known before any is measured.
        called: how many were called before this one was measured.
        rate: the permitted expected share of false ones among those called.

    Raises:
        ValueError: there are fewer cases than were called, or the rate is not between 0 and 1.
    """
    if not (0 <= called <= cases and cases >= 1):
        raise ValueError(f"{called} of {cases} cases were called: there must be one case at least, and no more called")
    if not 0 < rate < 1:
        raise ValueError(f"the rate is {rate}, and must be between 0 and 1")
    return rate * (1 + called) / cases
