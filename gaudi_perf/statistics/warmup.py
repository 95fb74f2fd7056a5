"""When warm-up has ended."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_WINDOW = 5
_NOISY_WINDOW = 7
_LONG_WINDOW = 10
_NOISY = 0.03
_TREND_LEVEL = 0.2
_SMALLEST_STEP = 0.01
_WIDTH = 3.0


@dataclass(frozen=True)
class SteadyState:
    """The index of the first steady round, or None if they are not steady yet; and why, in words."""

    start: int | None
    reason: str


def steady_start(latencies: Sequence[float]) -> SteadyState:
    """Decide whether the latest rounds, in seconds, are steady: without a trend, and without a step.

    Georges, Buytaert and Eeckhout (OOPSLA 2007) wait until the coefficient of variation of the last k rounds falls
    below a threshold. On a shared machine that never happens, and a slow drift passes it on a quiet one. Noise is not
    what warm-up must remove, drift is; so the window of the last 5 rounds (7, where they differ by more than 3 %, for a
    drift hides in noise), and of the last 10 once there are as many, must show neither

    - a trend: Kendall's rank correlation of latency and order, two-sided p at most 0.2 (Mann 1945; Barrett et al. 2017
      show that steady states need a test for change), by which the window changes by more than 1 % (Theil's and Sen's
      slope). The level is high because a round too many costs little, and a drift taken for steady spoils the run; nor
    - a step: the medians of its halves (in logarithms) differ by more than 1 % and by more than three standard errors,
      estimated from the median absolute deviation.

    Raises:
        ValueError: a duration is not a finite number above 0.
    """
    if not all(math.isfinite(value) and value > 0 for value in latencies):
        raise ValueError("latencies must be finite seconds above 0")
    if len(latencies) < _WINDOW:
        return SteadyState(None, f"only {len(latencies)} rounds, and steadiness is judged on {_WINDOW}")
    logs = [math.log(value) for value in latencies]
    window = _NOISY_WINDOW if _deviation([logs[-_WINDOW:]]) > _NOISY else _WINDOW
    if len(latencies) < window:
        return SteadyState(None, f"only {len(latencies)} rounds, and such uneven ones are judged on {window}")
    windows = [window] + ([_LONG_WINDOW] if len(logs) >= _LONG_WINDOW + 1 else [])
    for size in windows:
        latest = logs[-size:]
        if _has_trend(latest):
            return SteadyState(None, f"the last {size} rounds have a trend")
        if _has_step(latest):
            return SteadyState(None, f"the last {size} rounds have a step")
    return SteadyState(len(logs) - windows[-1], f"the last {windows[-1]} rounds have neither trend nor step")


def _has_trend(window: Sequence[float]) -> bool:
    if len(set(window)) == 1:
        return False
    from scipy.stats import kendalltau, theilslopes

    change = abs(float(theilslopes(window).slope)) * (len(window) - 1)
    return change > _SMALLEST_STEP and bool(kendalltau(range(len(window)), window).pvalue <= _TREND_LEVEL)


def _has_step(window: Sequence[float]) -> bool:
    half = len(window) // 2
    first, second = window[:half], window[-half:]
    step = abs(statistics.median(first) - statistics.median(second))
    return step > max(_SMALLEST_STEP, _WIDTH * _deviation([first, second]) * math.sqrt(2 / half))


def _deviation(parts: Sequence[Sequence[float]]) -> float:
    residuals = [abs(value - statistics.median(part)) for part in parts for value in part]
    # 1.4826: from the median absolute deviation to the standard deviation of a normal distribution.
    return 1.4826 * statistics.median(residuals)
