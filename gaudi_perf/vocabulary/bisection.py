"""Looking for the first slow one among stacks or commits: what was asked, and what each step found."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.documents import Document, Name
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind


class BisectionStep(Document, frozen=True, kw_only=True):
    """One comparison: a point against the good one, side by side."""

    point: Name
    session_id: Name
    case: Name
    verdict: Verdict
    stack: Stack

    @property
    def slower(self) -> bool:
        """Whether it is slower than the good one."""
        return self.verdict.kind is VerdictKind.REGRESSED


class Bisection(Document, frozen=True, kw_only=True):
    """A search that can be taken up again.

    Attributes:
        points: the stacks or commits in their order, the good one first and the bad one last.
        asked: what the steps depend on beside the points; a search is not taken up with others.
        steps: the comparisons so far, each with a clear verdict.
    """

    schema: Literal["gaudi-perf/bisection/1"] = "gaudi-perf/bisection/1"
    points: Annotated[list[Name], msgspec.Meta(min_length=2)]
    asked: list[str] = []
    steps: list[BisectionStep] = []

    @property
    def span(self) -> tuple[int, int]:
        """The last point that is known not to be slower, and the first that is known to be."""
        low, high = 0, len(self.points) - 1
        for step in self.steps:
            index = self.points.index(step.point)
            low, high = (low, min(high, index)) if step.slower else (max(low, index), high)
        return low, high

    @property
    def next_point(self) -> str | None:
        """What to compare next: the middle of what is left; None if the first slow one is found."""
        low, high = self.span
        return None if high - low < 2 else self.points[(low + high) // 2]

    def step_of(self, point: str) -> BisectionStep | None:
        """The comparison of a point, if it was made."""
        return next((step for step in self.steps if step.point == point), None)
