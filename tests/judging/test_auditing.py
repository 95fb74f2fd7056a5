from __future__ import annotations

import numpy as np
import pytest

from gaudi_perf.judging.auditing import usual_design
from gaudi_perf.statistics.audit import Design
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.metrics import RUNS_FOR_BASELINES


def history(*sizes: int) -> list[RunSample]:
    return [
        RunSample(rounds=np.array([1.0, 1.0]), session=f"s{number}")
        for number, size in enumerate(sizes)
        for _ in range(size)
    ]


@pytest.mark.parametrize(
    ("sizes", "side_by_side", "candidates"),
    [
        ((5, 3, 8), False, 5),  # the usual session, not the last or the largest
        ((5, 3, 8), True, 5),
        ((2, 2), True, 2),
        ((3, 3), True, 2),  # pairs of neighbours: one in each session
        ((1, 1, 1), True, 1),  # too few are said to be so by the audit
        ((8,), False, 4),  # one session gives both sides
        ((40,), False, RUNS_FOR_BASELINES),
        ((1,), False, 1),
    ],
)
def test_an_audit_compares_as_the_installation_does(
    sizes: tuple[int, ...], side_by_side: bool, candidates: int
) -> None:
    design = usual_design(history(*sizes), None, None, side_by_side)
    assert design == Design(candidates=candidates, baselines=RUNS_FOR_BASELINES, side_by_side=side_by_side)


def test_what_is_asked_for_is_compared() -> None:
    assert usual_design(history(5), 3, 20, False) == Design(candidates=3, baselines=20, side_by_side=False)
