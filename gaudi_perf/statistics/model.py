"""The model of noise: rounds within runs within groups (sessions, or pairs side by side), and its posterior.

For run j of group i, with y the logarithm of its median round,

    y_ij = m + d * z_ij + b' x_ij + G_i + R_ij,    G_i ~ N(0, g**2),  R_ij ~ N(0, r**2)

where z is +1/2 for the candidate and -1/2 for the baseline, so d is the logarithm of the ratio; x are covariates
(reference probes). This is the random-effects model of Kalibera and Jones (2013) with a covariate. Given g and r, d
is normal (generalised least squares, b with a normal prior). g and r are not estimated and then taken for true: they
are integrated over, on a grid, with scaled inverse chi-square priors. The posterior of d is thus a mixture of normal
distributions with tails as heavy as the knowledge of the spreads is poor: without groups and covariates it is Student's
t of a moderated t-test (Smyth 2004), which has as many degrees of freedom as observed and prior ones together; where
the spread that was seen contradicts the prior, it is that of an ordinary t-test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_perf.statistics.sample import FloatArray

_POINTS = (12, 12, 12, 24)
"""Of the grid of either spread: each finds where the next one has to be, and the last one is integrated over."""
_REACH_DOWN = math.log(12.0)
_REACH_UP = math.log(400.0)  # the tail of a spread that is worth one degree of freedom is long
_NEGLIGIBLE = 16.0  # log of a posterior density below which the grid need not reach

_RUN_DOUBT = (0.5, 0.25)
"""What is expected of the spread between runs may be wrong altogether. With this probability it is worth no more than
so many degrees of freedom: it sharpens a comparison that agrees with it, and is dropped where runs lie further apart (a
robust mixture prior: Schmidli et al. 2014)."""

_SLOWER = (0.05, 0.05)
"""By how much a slow session is slower, in logarithms: mean and standard deviation of what is known before."""


@dataclass(frozen=True)
class SpreadPrior:
    """Scaled inverse chi-square priors of the spreads: what is expected, and how many degrees of freedom that is worth.

    Attributes:
        group: expected spread between groups, or
        group_share: times that between runs, where that is more.
        doubted: whether what is expected between runs may be wrong altogether.
    """

    run: float
    run_freedom: float
    group: float
    group_freedom: float
    group_share: float = 0.0
    doubted: bool = True


@dataclass(frozen=True)
class Covariates:
    """What is known about the machine during each run.

    Attributes:
        values: shape (runs, covariates).
        expected: prior mean of each coefficient, shape (covariates,).
        uncertainty: prior standard deviation of each coefficient, shape (covariates,).
    """

    values: FloatArray
    expected: FloatArray
    uncertainty: FloatArray

    def with_column(self, column: FloatArray, expected: float, uncertainty: float) -> Covariates:
        """These and another one, shape (runs,)."""
        return Covariates(
            values=np.column_stack([self.values, column]),
            expected=np.append(self.expected, expected),
            uncertainty=np.append(self.uncertainty, uncertainty),
        )

    @classmethod
    def none(cls, runs: int) -> Covariates:
        """No covariates."""
        return cls(np.empty((runs, 0)), np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Posterior:
    """What is known about the logarithm of the ratio: a mixture of normal distributions.

    Attributes:
        weights: of the components, summing to 1; as ``means`` and ``deviations`` of shape (components,).
        run: spread between runs, posterior root mean square.
        group: spread between groups, likewise.
        coefficients: posterior means of the covariates' coefficients, shape (covariates,).
        log_evidence: logarithm of the density of the data, up to a constant that is the same for all covariates.
    """

    weights: FloatArray
    means: FloatArray
    deviations: FloatArray
    run: float
    group: float
    coefficients: FloatArray
    log_evidence: float

    @property
    def mean(self) -> float:
        """The best estimate."""
        return float(self.weights @ self.means)

    @property
    def spread(self) -> float:
        """The standard deviation, by the quantiles that a normal distribution has one around its mean."""
        return (self.quantile(0.841) - self.quantile(0.159)) / 2

    def below(self, value: float) -> float:
        """The probability that the logarithm of the ratio is below ``value``."""
        from scipy.special import ndtr

        return float(self.weights @ ndtr((value - self.means) / self.deviations))

    def above(self, value: float) -> float:
        """The probability that it is above; exact far out in the tail."""
        from scipy.special import ndtr

        return float(self.weights @ ndtr((self.means - value) / self.deviations))

    def quantile(self, probability: float) -> float:
        """The value below which the logarithm of the ratio is with this probability."""
        from scipy.optimize import brentq
        from scipy.special import ndtri

        ends = self.means + self.deviations * float(ndtri(probability))
        low, high = float(ends.min()), float(ends.max())
        if high - low < 1e-12:
            return low
        margin = 1e-9 * (high - low)
        return float(brentq(lambda value: self.below(value) - probability, low - margin, high + margin, xtol=1e-9))


def posterior(
    values: FloatArray,
    sides: FloatArray,
    groups: NDArray[np.intp],
    prior: SpreadPrior,
    covariates: Covariates | None = None,
    *,
    weights: FloatArray | None = None,
    level: bool = True,
) -> Posterior:
    """The posterior of the logarithm of the ratio.

    Args:
        values: level of each run, shape (runs,), as that of the following ones.
        sides: +0.5 for the candidate's runs and -0.5 for the baseline's.
        groups: number of each run's group, from 0.
        weights: precision of each run relative to the others, ``R_ij ~ N(0, r**2 / w_ij)``; None if all are alike.
        level: whether there is a level ``m`` to be estimated. There is none if values are differences already; then
            all sides are +1.
    """
    covariates = covariates or Covariates.none(values.size)
    moments = _moments(values, sides, groups, covariates, np.ones_like(values) if weights is None else weights, level)
    run_axis, group_axis = _first_grid(values, sides, prior)
    for following in (*_POINTS[1:], 0):
        run, group = (axis.ravel() for axis in np.meshgrid(run_axis, group_axis, indexing="ij"))
        log_density, means, deviations, coefficients = _fit(moments, np.exp(run), np.exp(group), prior, covariates)
        if following:
            profile = log_density.reshape(run_axis.size, group_axis.size)
            run_axis = _refined(run_axis, profile.max(axis=1), following)
            group_axis = _refined(group_axis, profile.max(axis=0), following)
    shares = np.exp(log_density - log_density.max())
    total = float(shares.sum())
    shares /= total
    kept = shares > 1e-12
    cell = float((run_axis[1] - run_axis[0]) * (group_axis[1] - group_axis[0]))
    return Posterior(
        weights=shares[kept] / shares[kept].sum(),
        means=means[kept],
        deviations=deviations[kept],
        run=math.sqrt(float(shares @ np.exp(2 * run))),
        group=math.sqrt(float(shares @ np.exp(2 * group))),
        coefficients=shares @ coefficients,
        log_evidence=float(log_density.max()) + math.log(total * cell),
    )


def with_slow_sessions(
    normal: Posterior,
    share: float,
    values: FloatArray,
    sides: FloatArray,
    sessions: NDArray[np.intp],
    prior: SpreadPrior,
    covariates: Covariates,
) -> Posterior:
    """The posterior if sessions may be slow, as that share of them is, without anything that shows it.

    The accelerator throttles, the host is busy. The reference probes see it. Where runs have none, such a session looks
    like a regression (or hides one, if it is among the baseline). So the posterior is a mixture over "no session is
    slow" and "this session is", for every session, each weighted by how well it explains the runs. One slow session of
    the candidate then explains a slowdown about as large as such sessions are; two sessions that agree do not, for both
    would have to be slow. Where a session is slow more probably than not (it shows among those of the baseline), "this
    one is, too" is added for every other one, and so on.
    """
    count = int(sessions.max()) + 1
    if count == 1:  # both sides share it
        return normal
    explanations, odds = [normal], [normal.log_evidence]
    price, best, slow = math.log(share / (1 - share)), normal.log_evidence, [False] * count
    while slow.count(False) > 1:
        one_more = []
        for session in (session for session in range(count) if not slow[session]):
            also = covariates.with_column(sessions == session, *_SLOWER)
            one = posterior(values, sides, sessions, prior, also)
            one_more.append((one.log_evidence + (slow.count(True) + 1) * price, session, one, also))
        explanations += [one for _, _, one, _ in one_more]
        odds += [weight for weight, _, _, _ in one_more]
        likeliest, session, _, also = max(one_more, key=lambda found: found[0])
        if likeliest <= best:
            break
        best, covariates, slow[session] = likeliest, also, True
    shares = np.exp(np.array(odds) - max(odds))
    shares /= shares.sum()
    known = normal.coefficients.size
    return Posterior(
        weights=np.concatenate([part * one.weights for part, one in zip(shares, explanations, strict=True)]),
        means=np.concatenate([one.means for one in explanations]),
        deviations=np.concatenate([one.deviations for one in explanations]),
        run=math.sqrt(float(shares @ [one.run**2 for one in explanations])),
        group=math.sqrt(float(shares @ [one.group**2 for one in explanations])),
        coefficients=shares @ np.array([one.coefficients[:known] for one in explanations]),
        log_evidence=max(odds),
    )


@dataclass(frozen=True)
class _Moments:
    """Weighted sums over runs of products of (1, z, x..., y); groups of one size are put together."""

    within: FloatArray  # deviations from the group's mean, shape (columns, columns)
    between: FloatArray  # the groups' means, shape (sizes, columns * columns)
    sizes: FloatArray  # weights that groups have, shape (sizes,)
    groups: FloatArray  # how many groups have them, likewise
    count: int  # of runs
    effect: int  # column of z


def _moments(
    values: FloatArray,
    sides: FloatArray,
    groups: NDArray[np.intp],
    covariates: Covariates,
    weights: FloatArray,
    level: bool,
) -> _Moments:
    columns = [np.ones_like(values), sides] if level else [sides]
    effect = len(columns) - 1
    rows = np.column_stack([*columns, covariates.values, values - values.mean() if level else values])
    sizes = np.bincount(groups, weights=weights).astype(np.float64)
    sums = np.zeros((sizes.size, rows.shape[1]))
    np.add.at(sums, groups, weights[:, None] * rows)
    means = sums / sizes[:, None]
    deviations = rows - means[groups]
    within = deviations.T @ (weights[:, None] * deviations)
    products = np.einsum("i,ij,ik->ijk", sizes, means, means).reshape(sizes.size, -1)
    different, which, groups_of = np.unique(sizes, return_inverse=True, return_counts=True)
    between = np.zeros((different.size, products.shape[1]))
    np.add.at(between, which, products)
    return _Moments(within, between, different, groups_of.astype(np.float64), count=values.size, effect=effect)


def _first_grid(values: FloatArray, sides: FloatArray, prior: SpreadPrior) -> tuple[FloatArray, FloatArray]:
    spreads = [float(np.std(values[sides == side])) for side in np.unique(sides)]
    largest = max(prior.run, *spreads)
    run = np.linspace(math.log(prior.run) - _REACH_DOWN, math.log(largest) + _REACH_UP, _POINTS[0])
    largest_group = max(prior.group, prior.group_share * largest, *spreads)
    group = np.linspace(math.log(prior.group) - _REACH_DOWN, math.log(largest_group) + _REACH_UP, _POINTS[0])
    return run, group


def _refined(axis: FloatArray, profile: FloatArray, points: int) -> FloatArray:
    worthwhile = np.flatnonzero(profile > profile.max() - _NEGLIGIBLE)
    low, high = max(worthwhile[0] - 1, 0), min(worthwhile[-1] + 1, axis.size - 1)
    return np.linspace(axis[low], axis[high], points)


def _fit(
    moments: _Moments, run: FloatArray, group: FloatArray, prior: SpreadPrior, covariates: Covariates
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """For spreads of shape (points,): log density, the effect's means and deviations, and means of coefficients."""
    run_variance, group_variance = run**2, group**2
    sizes = moments.sizes
    effect, first = moments.effect, moments.effect + 1
    mean_variance = run_variance[:, None] + sizes * group_variance[:, None]  # times the size: that of a group's mean
    between = (1 / mean_variance) @ moments.between
    scatter = moments.within / run_variance[:, None, None] + between.reshape(-1, *moments.within.shape)
    precision, weighted, residual = scatter[:, :-1, :-1].copy(), scatter[:, :-1, -1].copy(), scatter[:, -1, -1].copy()
    sharpness = 1 / covariates.uncertainty**2
    inner = np.arange(first, first + sharpness.size)
    precision[:, inner, inner] += sharpness
    weighted[:, inner] += sharpness * covariates.expected
    residual += float(sharpness @ covariates.expected**2)
    covariance = np.linalg.inv(precision)
    coefficients = np.einsum("pij,pj->pi", covariance, weighted)
    misfit = residual - np.einsum("pi,pi->p", coefficients, weighted)
    log_density = -0.5 * (
        (moments.count - moments.groups.sum()) * np.log(run_variance)
        + np.log(mean_variance) @ moments.groups
        + np.linalg.slogdet(precision)[1]
        + np.maximum(misfit, 0.0)
    )
    expected_group = np.maximum(prior.group**2, prior.group_share**2 * run_variance)
    expected_run = np.full_like(run_variance, prior.run**2)
    log_density += float(np.log(sharpness).sum()) / 2
    known_run = _log_prior(run_variance, expected_run, prior.run_freedom)
    wrong, worth = _RUN_DOUBT
    if prior.doubted and prior.run_freedom > worth:
        if_wrong = _log_prior(run_variance, expected_run, worth)
        known_run = np.logaddexp(math.log1p(-wrong) + known_run, math.log(wrong) + if_wrong)
    log_density += known_run + _log_prior(group_variance, expected_group, prior.group_freedom)
    return log_density, coefficients[:, effect], np.sqrt(covariance[:, effect, effect]), coefficients[:, first:]


def _log_prior(variance: FloatArray, expected: FloatArray, freedom: float) -> FloatArray:
    """Density of the logarithm of a scaled inverse chi-square variance."""
    ratio, half = expected / variance, freedom / 2
    density: FloatArray = half * (math.log(half) + np.log(ratio) - ratio) - math.lgamma(half)
    return density
