"""A run as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RunSample:
    """The rounds of one run.

    Attributes:
        rounds: seconds of each round after warm-up, shape (rounds,).
        probes: seconds of the reference probe around each round, same shape, or None.
    """

    rounds: FloatArray
    probes: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse samples that are no durations.

        Raises:
            ValueError: empty, not finite, not positive, or probes of another length.
        """
        for name, values in (("rounds", self.rounds), ("probes", self.probes)):
            if values is None:
                continue
            if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)) or not np.all(values > 0):
                raise ValueError(f"{name} must be finite seconds above 0, at least one of them")
        if self.probes is not None and self.probes.shape != self.rounds.shape:
            raise ValueError(f"there are {self.probes.size} probes for {self.rounds.size} rounds")

    @property
    def level(self) -> float:
        """Natural logarithm of the median round."""
        return float(np.log(np.median(self.rounds)))
