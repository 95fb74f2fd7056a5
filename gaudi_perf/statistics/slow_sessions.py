"""Sessions that are slow, and without anything that shows it.

A few per cent of sessions are slow altogether: the accelerator throttles, the host is busy. The reference probes see
it. Where runs have none, such a session looks like a regression (or hides one, if it is among the baseline). So it is
one of the explanations of what was measured: the posterior is a mixture over "no session is slow" and "this session
is", for every session, each weighted by how well it explains the runs. One slow session of the candidate then explains
a slowdown about as large as such sessions are; two sessions that agree do not, for both would have to be slow.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.model import Covariates, Posterior, SpreadPrior, posterior
from gaudi_perf.statistics.sample import FloatArray

SLOWER = (0.05, 0.05)
"""By how much a slow session is slower, in logarithms: mean and standard deviation of what is known before."""


def with_slow_sessions(
    normal: Posterior,
    share: float,
    values: FloatArray,
    sides: FloatArray,
    sessions: NDArray[np.intp],
    prior: SpreadPrior,
    covariates: Covariates | None,
) -> Posterior:
    """The posterior if any one of the sessions may be slow.

    Args:
        normal: the posterior if none is.
        share: of sessions that are slow.
        values: level of each run, shape (runs,).
        sides: +0.5 for the candidate's runs and -0.5 for the baseline's, shape (runs,).
        sessions: number of each run's session, from 0, shape (runs,).
        prior: what is known about the spreads.
        covariates: what is known about the machine.
    """
    count = int(sessions.max()) + 1
    if count == 1:  # both sides share it
        return normal
    explanations = [normal]
    explanations += [
        posterior(values, sides, sessions, prior, _slow(sessions == session, covariates)) for session in range(count)
    ]
    odds = np.log([1 - share, *[share] * count]) + [one.log_evidence for one in explanations]
    shares = np.exp(odds - odds.max())
    shares /= shares.sum()
    known = normal.coefficients.size
    return Posterior(
        weights=np.concatenate([part * one.weights for part, one in zip(shares, explanations, strict=True)]),
        means=np.concatenate([one.means for one in explanations]),
        deviations=np.concatenate([one.deviations for one in explanations]),
        run=math.sqrt(float(shares @ [one.run**2 for one in explanations])),
        group=math.sqrt(float(shares @ [one.group**2 for one in explanations])),
        coefficients=shares @ np.array([one.coefficients[:known] for one in explanations]),
        log_evidence=float(odds.max()),
    )


def _slow(chosen: NDArray[np.bool_], covariates: Covariates | None) -> Covariates:
    column = chosen.astype(np.float64)[:, None]
    if covariates is None:
        return Covariates(column, np.array([SLOWER[0]]), np.array([SLOWER[1]]))
    return Covariates(
        values=np.column_stack([covariates.values, column]),
        expected=np.append(covariates.expected, SLOWER[0]),
        uncertainty=np.append(covariates.uncertainty, SLOWER[1]),
    )
