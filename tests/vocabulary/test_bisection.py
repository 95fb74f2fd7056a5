from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from gaudi_perf.vocabulary.bisection import Bisection, BisectionStep
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import Reason, Verdict, VerdictKind


@pytest.mark.parametrize("count", [2, 3, 7, 20])
def test_the_first_slower_one_is_found_in_as_few_steps_as_there_can_be(count: int) -> None:
    points = [f"s{number}" for number in range(count)]
    for first in range(1, count):
        found = Bisection(points=points)
        while (point := found.next_point) is not None:
            kind = VerdictKind.REGRESSED if points.index(point) >= first else VerdictKind.UNCHANGED
            verdict = Verdict(kind=kind, reason=Reason.SLOWER)
            stack = Stack(kind="synapse", version="1.24.0")
            step = BisectionStep(point=point, session_id="s", case="c", verdict=verdict, stack=stack)
            found = replace(found, steps=[*found.steps, step])
        assert found.span == (first - 1, first)
        assert len(found.steps) <= math.ceil(math.log2(count - 1)) if count > 2 else not found.steps
