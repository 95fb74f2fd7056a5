"""What is assumed about noise before a comparison, and how it is estimated from a history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.sample import (
    FloatArray,
    RunSample,
    all_known,
    by_session,
    levels,
    median_error,
    robust_spread,
    round_spread,
    scatter_within,
)

USUAL_RANGE = 3.0
"""Covariates of the machine's state within this many (robust) standard deviations of each other vary as usual."""

SMALLEST_RANGE = 0.01
"""Shifts of such a covariate by up to 1 % are never taken for another state of the machine."""

_BAD_SESSION = 4.0

_ASSUMED = 10.0
"""Degrees of freedom that what is assumed of sessions is worth at most, once some are seen."""

_ASSUMED_SLOW = 200.0
"""Sessions that the assumed share of slow ones is worth. Ten without a slow one say little: where 3 % are slow, three
of four such histories show none. With fewer than 200, more than 0.3 % are false (benchmarks/learned.py --slow)."""
MOST_SESSIONS = 300

_UNEVEN = 1.5
_UNEVEN_POWER = 1.3
"""Runs lie apart by 1.5 s**1.3 where the rounds of a run spread by s: by 0.4 of it at 1 %, by 0.75 of it at 10 %.
Fitted to recordings of an idle and of a loaded machine (s of 0.06 and 0.2) and to a quiet server (0.01)."""


@dataclass(frozen=True)
class NoisePrior:
    """How far runs and sessions of the same code usually lie apart, and how much that knowledge is worth.

    Spreads are standard deviations of the logarithm of a run's median: 0.01 is 1 %. The knowledge counts like that many
    degrees of freedom of observed spread (the prior of a moderated t-test: Smyth 2004), so runs soon outweigh a weak
    one. The defaults are those of a quiet accelerator server of which there is no history: it is taken as known
    that its sessions differ by 1 %, and as barely known how far its runs lie apart.

    Attributes:
        session: spread between sessions, beyond that between the runs of one.
        shift_coefficient: by what share of an unusual shift of the reference probes the rounds change. Before any is
            seen, a machine that is 1 % slower by its probes may slow the rounds by 0 to 1 %.
        slow_sessions: share of sessions that are slow altogether. It matters where runs have no probes to show it.
        slow_known: from how many sessions that share was learned.
        unusual: whether the reference probes of the session's other cases show a machine in another state than the
            baseline's was in.
        unseen: how much of what the covariates leave unexplained is expected of sessions, too; the less, the more
            sessions were seen.

    Raises:
        ValueError: a spread or its worth is not a finite number above 0, or a share is negative.
    """

    session: float = 0.01
    run: float = 0.005
    session_freedom: float = 30.0
    run_freedom: float = 4.0
    shift_coefficient: float = 0.5
    shift_uncertainty: float = 0.5
    slow_sessions: float = 0.03
    slow_known: int = 0
    unseen: float = 1.0
    unusual: bool = False

    def __post_init__(self) -> None:
        for name in ("session", "run", "session_freedom", "run_freedom", "shift_uncertainty"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"noise prior: {name} is {value}, and must be a finite number above 0")
        if not 0 <= self.slow_sessions < 1:
            raise ValueError(
                f"noise prior: slow_sessions is {self.slow_sessions}, and must be a share from 0 to below 1"
            )

    def slow_sessions_after(self, more: int) -> float:
        """The share of slow sessions, should so many more become known and none of them be slow."""
        worth = _ASSUMED_SLOW + self.slow_known
        return self.slow_sessions * worth / (worth + more)


def learn_noise_prior(history: Sequence[RunSample]) -> NoisePrior:
    """Learn the noise of an installation from runs of the same code, in the order of measurement, with their sessions.

    Variance components by analysis of variance in logarithms (Kalibera and Jones 2013, section 6), unbalanced one-way:
    the mean square between sessions is ``run**2 + m * session**2``. Observed and default knowledge are combined in
    proportion to their degrees of freedom. Only sessions around one level count: a bad session is no noise, and what
    makes it bad shows in its probes; and a level that changed and stayed is what is to be found, session after session.

    Raises:
        ValueError: there are no runs.
    """
    if not history:
        raise ValueError("there are no runs to learn the noise from")
    default = NoisePrior()
    grouped = list(by_session(history).values())
    every = [levels(session) for session in grouped]
    means = np.array([session.mean() for session in every])
    good = _around_one_level(means)
    sessions = [session for session, kept in zip(every, good, strict=True) if kept]
    values = np.concatenate(sessions)
    sizes = np.array([session.size for session in sessions], dtype=np.float64)
    within, run_freedom = scatter_within(values, np.repeat(np.arange(len(sessions)), sizes.astype(int)))
    run_variance = (default.run_freedom * default.run**2 + within) / (default.run_freedom + run_freedom)
    session_freedom = float(len(sessions) - 1)
    session_variance, worth = default.session**2, default.session_freedom
    if session_freedom > 0:
        between = float((sizes * (means[good] - values.mean()) ** 2).sum()) / session_freedom
        size = (values.size - float((sizes**2).sum()) / values.size) / session_freedom
        observed = max(0.0, (between - run_variance) / size)
        assumed = min(default.session_freedom, _ASSUMED)
        worth = assumed + session_freedom
        session_variance = (assumed * default.session**2 + session_freedom * observed) / worth
    error = math.sqrt(session_variance + run_variance / float(np.mean(sizes)))
    coefficient, uncertainty = _learn_shift(grouped, means, error, default)
    return replace(
        default,
        session=math.sqrt(session_variance),
        run=math.sqrt(run_variance),
        session_freedom=worth,
        run_freedom=default.run_freedom + run_freedom,
        unseen=_ASSUMED / (_ASSUMED + session_freedom),
        shift_coefficient=coefficient,
        shift_uncertainty=uncertainty,
    )


def with_slow_share(prior: NoisePrior, stacks: Iterable[Sequence[RunSample]]) -> NoisePrior:
    """The prior with the share of sessions that are slow by themselves, from runs of several stacks, each in the order
    of measurement.

    What is assumed of it counts like 200 sessions; of each stack the newest 300 count. A session that is not alone is
    a level, and no slow session.
    """
    slow = seen = 0
    for samples in stacks:
        means = np.array([levels(session).mean() for session in list(by_session(samples).values())[-MOST_SESSIONS:]])
        around = _around_one_level(means)
        beside = np.concatenate([[True], around, [True]])
        alone = ~around & beside[:-2] & beside[2:]
        slow += int(np.count_nonzero(alone & (means > np.median(means)))) if means.size else 0
        seen += means.size
    share = (_ASSUMED_SLOW * NoisePrior.slow_sessions + slow) / (_ASSUMED_SLOW + seen)
    return replace(prior, slow_sessions=share, slow_known=seen)


def _around_one_level(means: FloatArray) -> NDArray[np.bool_]:
    """The sessions around the level that most sessions lie around, within four standard deviations.

    How far sessions lie apart is estimated from neighbours here (von Neumann et al. 1941), and robustly, so that
    neither a few bad sessions nor a change of level, however long ago, makes all the others look alike.
    """
    if means.size < 3:
        return np.ones(means.size, dtype=np.bool_)
    usual = robust_spread(np.diff(means)) / math.sqrt(2)  # of the difference of two sessions
    reach = max(_BAD_SESSION * usual, 1e-12)
    dense = np.abs(means[:, None] - means[None, :]) <= reach / 2
    centre = float(np.median(means[dense[int(dense.sum(axis=1).argmax())]]))
    around: NDArray[np.bool_] = np.abs(means - centre) <= reach
    return around


def _learn_shift(
    sessions: Sequence[Sequence[RunSample]], means: FloatArray, error: float, default: NoisePrior
) -> tuple[float, float]:
    """What sessions with unusual probes say about their coefficient, added to what is known (normal, conjugate)."""
    probes = [all_known([sample.probe_level for sample in session]) for session in sessions]
    probe_levels = all_known([None if those is None else float(np.mean(those)) for those in probes])
    if probe_levels is None:
        return default.shift_coefficient, default.shift_uncertainty
    deviations = probe_levels - np.median(probe_levels)
    unusual = np.abs(deviations) > max(USUAL_RANGE * robust_spread(deviations), SMALLEST_RANGE)
    shifts, changes = deviations[unusual], (means - np.median(means))[unusual]
    precision = 1 / default.shift_uncertainty**2 + float(shifts @ shifts) / error**2
    weighted = default.shift_coefficient / default.shift_uncertainty**2 + float(shifts @ changes) / error**2
    return weighted / precision, 1 / math.sqrt(precision)


_CHANCE = 0.001
_FEWEST_FREEDOM = 10.0
"""What is assumed, or taken from the rounds, of the spread between runs is worth at least this."""
_MOST_APART = 0.5
"""Runs that lie further apart than this are no one level, however noisy a machine is known to be."""


def allowed_range(samples: Sequence[RunSample], usual: NoisePrior) -> float:
    """By how much the slowest of these runs may exceed the fastest, as a share, if they are of one level: more happens
    once in a thousand times by the usual noise and the noise of their rounds (Tukey's range, bounded by pairs).
    """
    from scipy.special import stdtrit

    if len(samples) < 2:
        return _MOST_APART
    several = len(by_session(samples)) > 1
    spread = math.hypot(run_spread_prior(samples, usual, median_error(samples)), usual.session if several else 0.0)
    pairs = len(samples) * (len(samples) - 1) / 2
    quantile = float(stdtrit(max(usual.run_freedom, _FEWEST_FREEDOM), 1 - _CHANCE / 2 / pairs))
    return min(math.expm1(min(quantile * math.sqrt(2) * spread, 1.0)), _MOST_APART)


def run_spread_prior(samples: Sequence[RunSample], usual: NoisePrior, error: float) -> float:
    """The spread between runs, expected from what is usual, their rounds, and the error of a level of few rounds."""
    return math.hypot(max(usual.run, _UNEVEN * round_spread(samples) ** _UNEVEN_POWER), error)
