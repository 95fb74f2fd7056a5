"""Regressions that were reported and are not over."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.documents import Document, Name, Slug, repeated
from gaudi_perf.vocabulary.metrics import Metric
from gaudi_perf.vocabulary.run import require_timestamp

RegressionKey = tuple[str, str, str]
"""Device, case id, and the stack's name: a regression is reported once for these."""


class OpenRegression(Document, frozen=True, kw_only=True):
    """A regression that was reported, and neither recovered nor was accepted.

    Attributes:
        stack: the stack that is slower, for instance ``synapse-1.24.0``.
        baseline: what it is slower than, for instance ``gaudi2/synapse-1.23.0``.
        ratio: by how much when it was REGRESSED last, candidate to baseline; 1.10 is 10 % slower.
        since: when the first session began in which it was slower, in UTC.
        session_id: that session.
    """

    device: Slug
    case: Name
    stack: Name
    metric: Metric
    baseline: Name
    ratio: Annotated[float, msgspec.Meta(gt=0)]
    since: str
    session_id: Name

    def __post_init__(self) -> None:
        require_timestamp(self.since, "since")

    @property
    def key(self) -> RegressionKey:
        """What it is known by."""
        return (self.device, self.case, self.stack)


class OpenRegressions(Document, frozen=True, kw_only=True):
    """The file in which they are kept where no tracker of issues keeps them."""

    schema: Literal["gaudi-perf/regressions/1"] = "gaudi-perf/regressions/1"
    open: list[OpenRegression] = []

    def __post_init__(self) -> None:
        if key := repeated(one.key for one in self.open):
            raise ValueError(f"{' '.join(key)} is there twice: keep one")
