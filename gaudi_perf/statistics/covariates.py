"""The machine's state during each run, as covariates (control variates) of the model.

There are two: the reference probes that bracket every round, and the rounds' tail spread. What they explain of the
spread between runs is subtracted; what they leave unexplained measures how little is known about the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.noise import SMALLEST_RANGE, USUAL_RANGE
from gaudi_perf.statistics.sample import FloatArray, RunSample, all_known, robust_spread, scatter_within

_COEFFICIENT = (0.75, 0.5)
"""What is taken as known of a covariate's coefficient before any run is seen, mean and standard deviation: what
disturbs the machine slows probes and rounds alike, more or less; and it makes rounds uneven, so that the median of an
uneven run is above the level that it would have had by about as much as it is above the fast rounds."""

TAIL_SPREAD_DOUBT = _COEFFICIENT[1]
"""By what share of a difference between the sides' tail spreads their levels may differ for it, standard deviation."""

_UNEXPLAINED_SPREAD = 0.04


@dataclass(frozen=True)
class Covariate:
    """A measure of the machine's state during each run: its usual variation, and what lies far from it.

    Attributes:
        columns: each with a coefficient of its own, the usual variation first; shape (runs, columns).
        coefficients: what is known of each column's coefficient before a run is seen, mean and standard deviation.
        shift: logarithm of the ratio of the sides' means, of which ``unusual_shift`` is not usual variation.
        shift_doubt: standard deviation of what the last column, the difference of the sides, does to the levels.
    """

    columns: FloatArray
    coefficients: tuple[tuple[float, float], ...]
    shift: float
    unusual_shift: float
    shift_doubt: float = 0.0


def probe_covariate(
    samples: Sequence[RunSample],
    sides: FloatArray,
    groups: tuple[int, int],
    shift: tuple[float, float],
    *,
    unusual: bool = False,
) -> Covariate | None:
    """What the reference probes say; None where a run has none. ``shift`` has what is known of an unusual one's effect.

    Probes jitter by themselves, and the more of their variation is jitter, the less of it counts (regression dilution:
    Fuller 1987, section 1.1). How much that is, is known from how far the probes of a run lie apart. And a
    coefficient that was learned from jitter must not be applied to a shift of another size (a machine that throttles):
    runs far from the median of their side have a coefficient of their own, and so has a difference of the sides'
    medians that is large for so many sessions (``groups`` of the candidate and of the baseline). No run is evidence of
    the latter: else a single run whose probes were off by their own jitter would be evidence that a slow session does
    not reach the rounds.
    """
    levels = all_known([sample.probe_level for sample in samples])
    if levels is None:
        return None
    ours, theirs = sides > 0, sides < 0
    own_variance = float(np.mean([sample.probe_variance for sample in samples]))
    squares, freedom = scatter_within(levels, ours.astype(np.intp))
    variance = squares / max(freedom, 1)
    reliability = max(0.0, 1 - own_variance / variance) if variance > 0 else 0.0
    medians = np.where(ours, np.median(levels[ours]), np.median(levels[theirs]))
    deviations = levels - medians
    jitter = math.sqrt(own_variance)
    usual, spread = _usual_of(deviations, jitter)
    far = deviations - usual
    difference = float(np.median(levels[ours]) - np.median(levels[theirs]))
    between = difference * sides
    # Jitter averages out over the runs, the rest over the sessions; pi / 2 is the price of a median.
    sessions = (spread**2 - jitter**2) * (1 / groups[0] + 1 / groups[1])
    runs = math.pi / 2 * jitter**2 * (1 / float(ours.sum()) + 1 / float(theirs.sum()))
    usual_range = 0.0 if unusual else USUAL_RANGE * math.sqrt(sessions + runs)
    if abs(difference) <= max(usual_range, SMALLEST_RANGE):
        usual, between = usual + between, np.zeros_like(between)
    shifted = far + between
    return Covariate(
        columns=np.column_stack([reliability * usual, far, between]),
        coefficients=(_COEFFICIENT, shift, shift),
        shift=float(levels[ours].mean() - levels[theirs].mean()),
        unusual_shift=float(shifted[ours].mean() - shifted[theirs].mean()),
        shift_doubt=float(np.abs(between).max()) * 2 * shift[1],
    )


def tail_spread_covariate(samples: Sequence[RunSample], sides: FloatArray) -> Covariate | None:
    """What the tail spread of the rounds says; None where a run has too few rounds.

    A machine that is disturbed makes rounds uneven, and so does software that stalls now and then. What the runs of a
    side say of the coefficient is true of the machine; it must not explain why one side is more uneven than the other.
    So the difference of the sides' means has a coefficient of its own, of which no run is evidence.
    """
    levels = all_known([sample.tail_spread for sample in samples])
    if levels is None:
        return None
    ours = sides > 0
    means = np.where(ours, levels[ours].mean(), levels[~ours].mean())
    deviations = levels - means
    usual, _ = _usual_of(deviations)
    difference = float(levels[ours].mean() - levels[~ours].mean())
    return Covariate(
        columns=np.column_stack([usual, deviations - usual, difference * sides]),
        coefficients=(_COEFFICIENT, _COEFFICIENT, _COEFFICIENT),
        shift=difference,
        unusual_shift=difference,
    )


def _usual_of(deviations: FloatArray, least: float = 0.0) -> tuple[FloatArray, float]:
    """Deviations from the middles of both sides as far as they are usual, else 0; and their robust spread.

    The median absolute deviation of few runs is easily twice too large, the standard deviation only where one of them
    is far off: the smaller is taken, but no less than ``least``.
    """
    freedom = max(deviations.size - 2, 1) / deviations.size  # two middles were taken out
    robust = min(robust_spread(deviations), float(np.sqrt(np.mean(deviations**2))))
    spread = max(robust / math.sqrt(freedom), least)
    return np.where(np.abs(deviations) <= max(USUAL_RANGE * spread, SMALLEST_RANGE), deviations, 0.0), spread


def unexplained_share(values: FloatArray, corrected: FloatArray, groups: NDArray[np.intp]) -> float:
    """How far sessions may lie apart because of what the covariates do not show, as a share of the spread between runs.

    Where the covariates do not explain the spread between the runs of a session, what moves runs so far apart can as
    well move a whole session; the more so, the further runs lie apart. The share is ``u**2 * s / 4 %``, with s the
    spread between the runs of a session and u the share of its variance that is unexplained. On a quiet server that is
    below the usual spread between sessions. (The 4 % come from recordings of a loaded machine, on which ten
    minutes were twice as slow as the next ten.)
    """
    (before, freedom), (after, _) = scatter_within(values, groups), scatter_within(corrected, groups)
    if freedom == 0 or before == 0:
        return 0.0
    return min(1.0, after / before) ** 2 * math.sqrt(before / freedom) / _UNEXPLAINED_SPREAD
