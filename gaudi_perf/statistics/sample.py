"""A run as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_FEWEST_FOR_SPREAD = 3


@dataclass(frozen=True)
class RunSample:
    """The rounds of one run.

    Attributes:
        rounds: seconds of each round after warm-up, shape (rounds,).
        probes: seconds of the reference probe around each round, same shape.
        session: runs of one session share its luck; runs of a side without labels count as of one session.

    Raises:
        ValueError: there are no rounds, values are not finite seconds above 0, or probes have another length.
    """

    rounds: FloatArray
    probes: FloatArray | None = None
    session: str = ""

    def __post_init__(self) -> None:
        for name, values in (("rounds", self.rounds), ("probes", self.probes)):
            if values is None:
                continue
            if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)) or not np.all(values > 0):
                raise ValueError(f"{name} must be finite seconds above 0, at least one of them")
        if self.probes is not None and self.probes.shape != self.rounds.shape:
            raise ValueError(f"there are {self.probes.size} probes for {self.rounds.size} rounds")

    @cached_property
    def _logs(self) -> tuple[float, float, float]:
        """Tenth percentile, median and spread of the logarithms of the rounds."""
        logs = np.log(self.rounds)
        places = np.arange(logs.size)
        low, median = np.interp(places[-1] * np.array([0.1, 0.5]), places, np.sort(logs))  # np.quantile, much faster
        return float(low), float(median), robust_spread(logs - median)

    @property
    def level(self) -> float:
        """Median of the logarithms of the rounds."""
        return self._logs[1]

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithms of the rounds, from their median absolute deviation."""
        return self._logs[2]

    @property
    def probe_level(self) -> float | None:
        """Natural logarithm of the mean probe, or None without probes.

        The mean, not the median: a probe is much shorter than a round, and most of what slows a round (a neighbour's
        burst, a throttled second) shows in few of its probes.
        """
        return None if self.probes is None else float(np.log(np.mean(self.probes)))

    @property
    def probe_variance(self) -> float:
        """Variance of ``probe_level`` that comes from its being a mean of few probes; 0 of too few of them."""
        if self.probes is None or self.probes.size < _FEWEST_FOR_SPREAD:
            return 0.0
        return float(np.var(self.probes, ddof=1) / np.mean(self.probes) ** 2 / self.probes.size)

    @property
    def tail_spread(self) -> float | None:
        """How far the median round lies above the fast ones, in logarithms; None for fewer than three rounds.

        A machine that is disturbed now and then makes rounds uneven. Software that is slower by a factor does not
        change this: the tenth percentile moves as the median does.
        """
        if self.rounds.size < _FEWEST_FOR_SPREAD:
            return None
        return self._logs[1] - self._logs[0]


@dataclass(frozen=True)
class Sides:
    """The runs of both sides of a comparison."""

    candidate: list[RunSample]
    baseline: list[RunSample]


def robust_spread(deviations: FloatArray) -> float:
    """Standard deviation of a normal distribution with this median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(deviations)))


def interquartile_mean(values: FloatArray) -> float:
    """The mean of what is left without the lowest and the highest quarter; of up to three values the median."""
    cut = min(-(-values.size // 4), (values.size - 1) // 2)
    return float(np.sort(values)[cut : values.size - cut].mean())


def scatter_within(values: FloatArray, groups: NDArray[np.intp]) -> tuple[float, int]:
    """Sum of the squared deviations from the mean of each one's group (numbered from 0), and its degrees of freedom."""
    sizes = np.bincount(groups)
    deviations = values - (np.bincount(groups, weights=values) / np.maximum(sizes, 1))[groups]
    return float(deviations @ deviations), values.size - int(np.count_nonzero(sizes))


def pooled_spread(values: FloatArray, groups: NDArray[np.intp]) -> float:
    """Pooled standard deviation around the mean of each one's group; 0 if no group has two."""
    squares, freedom = scatter_within(values, groups)
    return float(np.sqrt(squares / freedom)) if freedom else 0.0


def by_session(samples: Iterable[RunSample]) -> dict[str, list[RunSample]]:
    """The runs of each session, in the order in which sessions begin."""
    sessions: dict[str, list[RunSample]] = {}
    for sample in samples:
        sessions.setdefault(sample.session, []).append(sample)
    return sessions


def levels(samples: Sequence[RunSample]) -> FloatArray:
    """The level of each run, shape (runs,)."""
    return np.array([sample.level for sample in samples], dtype=np.float64)


def all_known(found: Sequence[float | None]) -> FloatArray | None:
    """The values, if all are known: what is known of some runs only says nothing about a difference."""
    known = [value for value in found if value is not None]
    return np.array(known) if len(known) == len(found) else None


def round_spread(samples: Sequence[RunSample]) -> float:
    """The spread of rounds within runs: standard deviation of their logarithm, from the median absolute deviation.

    Runs of a single round have none; 0 if there are no others.
    """
    spreads = [sample.spread for sample in samples if sample.rounds.size > 1]
    return float(np.sqrt(np.mean(np.square(spreads)))) if spreads else 0.0


def median_error(samples: Sequence[RunSample]) -> float:
    """The usual error of a run's level that comes from its having few rounds.

    The variance of the median of n normal values is pi / (2 n) times theirs, for large n.
    """
    spread = round_spread(samples)
    shares = [1.0 / sample.rounds.size for sample in samples]
    return spread * float(np.sqrt(np.pi / 2 * np.mean(shares)))
