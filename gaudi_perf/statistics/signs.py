"""Signs of the machine's state during each run, as covariates (control variates) of the model.

There are two: the reference probes that bracket every round, and how uneven the rounds are. What the signs explain of
the spread between runs is taken out; what they do not explain tells how little is known of the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.model import Covariates
from gaudi_perf.statistics.noise import SMALLEST_RANGE, USUAL_RANGE
from gaudi_perf.statistics.sample import FloatArray, RunSample

_COEFFICIENT = (0.75, 0.5)
"""What is taken as known of a sign's coefficient before any run is seen, mean and standard deviation: what disturbs the
machine slows probes and rounds alike, more or less; and it makes rounds uneven, so that the median of an uneven run is
above the level that it would have had by about as much as it is above the fast rounds."""

_LEAST_UNCERTAINTY = 0.05

_UNSEEN_SPREAD = 0.04
_MOST_UNSEEN = 5.0


@dataclass(frozen=True)
class Sign:
    """A sign of the machine's state during each run: its usual variation, and runs or sides that are far from it.

    Attributes:
        usual: shape (runs,).
        unusual: shape (runs,).
        coefficients: what is known of the coefficients of both before a run is seen, mean and standard deviation.
        shift: logarithm of the ratio of the sides' means, candidate to baseline.
        unusual_shift: the part of it in ``unusual``.
    """

    usual: FloatArray
    unusual: FloatArray
    coefficients: tuple[tuple[float, float], tuple[float, float]]
    shift: float
    unusual_shift: float


def probe_sign(
    samples: Sequence[RunSample], sides: FloatArray, groups: tuple[int, int], shift: tuple[float, float]
) -> Sign | None:
    """What the reference probes say; None where a run has none.

    Probes jitter by themselves, and the more of their variation is jitter, the smaller is its coefficient (regression
    dilution: Fuller 1987, section 1.1). How much that is, is known from how far the probes of a run lie apart.

    Args:
        samples: the runs.
        sides: +0.5 for the candidate's runs and -0.5 for the baseline's, shape (runs,).
        groups: number of nights (of pairs, side by side) of the candidate and of the baseline.
        shift: what is known of the coefficient of an unusual shift, mean and standard deviation.
    """
    levels = _known([sample.probe_level for sample in samples])
    if levels is None:
        return None
    reliability = _reliability(levels, sides, [sample.probe_variance for sample in samples])
    mean, uncertainty = _COEFFICIENT
    usual = mean * reliability, max(uncertainty * reliability, _LEAST_UNCERTAINTY)
    return _sign(levels, sides, groups, (usual, shift))


def unrest_sign(samples: Sequence[RunSample], sides: FloatArray, groups: tuple[int, int]) -> Sign | None:
    """What the unevenness of the rounds says; None where a run has too few rounds. Arguments as for probes."""
    levels = _known([sample.unrest for sample in samples])
    return None if levels is None else _sign(levels, sides, groups, (_COEFFICIENT, _COEFFICIENT))


def covariates_of(signs: Sequence[Sign]) -> Covariates | None:
    """Two columns for each sign: usual and unusual."""
    if not signs:
        return None
    coefficients = np.array([coefficient for sign in signs for coefficient in sign.coefficients])
    return Covariates(
        values=np.column_stack([column for sign in signs for column in (sign.usual, sign.unusual)]),
        expected=coefficients[:, 0],
        uncertainty=coefficients[:, 1],
    )


def _known(found: Sequence[float | None]) -> FloatArray | None:
    known = [value for value in found if value is not None]
    # What is known of some runs only says nothing about the difference.
    return np.array(known) if len(known) == len(found) else None


def _reliability(levels: FloatArray, sides: FloatArray, variances: Sequence[float]) -> float:
    """The share of the probes' variance between runs that is not their own jitter."""
    deviations = np.concatenate([levels[sides == side] - levels[sides == side].mean() for side in (0.5, -0.5)])
    variance = float(deviations @ deviations) / max(deviations.size - 2, 1)
    return max(0.0, 1 - float(np.mean(variances)) / variance) if variance > 0 else 0.0


def _sign(
    levels: FloatArray,
    sides: FloatArray,
    groups: tuple[int, int],
    coefficients: tuple[tuple[float, float], tuple[float, float]],
) -> Sign:
    """Split a sign of the machine's state in two.

    A sign's own jitter does not slow the rounds, a machine that throttles does; so a coefficient that was learned from
    jitter must not be applied to a shift of another size. Runs far from the median of their side, and a difference of
    the sides' medians that is large for so many groups, get a coefficient of their own.
    """
    ours, theirs = sides > 0, sides < 0
    medians = np.where(ours, np.median(levels[ours]), np.median(levels[theirs]))
    deviations = levels - medians
    freedom = max(deviations.size - 2, 1) / deviations.size  # two medians were taken out
    spread = 1.4826 * float(np.median(np.abs(deviations))) / math.sqrt(freedom)
    difference = float(np.median(levels[ours]) - np.median(levels[theirs]))
    between = difference * np.where(ours, 0.5, -0.5)
    usual = np.where(np.abs(deviations) <= max(USUAL_RANGE * spread, SMALLEST_RANGE), deviations, 0.0)
    reach = USUAL_RANGE * spread * math.sqrt(1 / groups[0] + 1 / groups[1])
    if abs(difference) <= max(reach, SMALLEST_RANGE):
        usual = usual + between
    unusual = deviations + between - usual
    return Sign(
        usual=usual,
        unusual=unusual,
        coefficients=coefficients,
        shift=float(levels[ours].mean() - levels[theirs].mean()),
        unusual_shift=float(unusual[ours].mean() - unusual[theirs].mean()),
    )


def unseen_share(values: FloatArray, corrected: FloatArray, groups: NDArray[np.intp]) -> float:
    """How far nights may lie apart because of what the signs do not see, as a share of the spread between runs.

    Where the signs explain the spread between the runs of a night, the machine's state is known. Where they do not,
    what moves runs so far apart can as well move a whole night; the more so, the further runs lie apart. The share is
    ``u**2 * s / 4 %``, at most 5, with s the spread between the runs of a night and u the share of its variance that
    is unexplained. On a quiet server that is below the usual spread between nights. (The 4 % come from recordings of a
    loaded machine, on which ten minutes were twice as slow as the next ten.)

    Args:
        values: level of each run, shape (runs,).
        corrected: the same after correction by the signs.
        groups: number of each run's night.
    """
    before, after, freedom = 0.0, 0.0, 0
    for group in set(groups.tolist()):
        chosen = groups == group
        before += float(((values[chosen] - values[chosen].mean()) ** 2).sum())
        after += float(((corrected[chosen] - corrected[chosen].mean()) ** 2).sum())
        freedom += int(chosen.sum()) - 1
    if freedom == 0 or before == 0:
        return 0.0
    share = min(1.0, after / before) ** 2 * math.sqrt(before / freedom) / _UNSEEN_SPREAD
    return min(share, _MOST_UNSEEN)
