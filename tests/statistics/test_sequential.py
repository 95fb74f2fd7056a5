from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.special import ndtri

from gaudi_perf.statistics.evidence import Layout, gather
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.statistics.sequential import InterimAnalysis, StoppingPlan, analyze, interim_levels
from gaudi_perf.statistics.verdict import ComparisonSettings
from gaudi_perf.vocabulary.verdict import StopReason, VerdictKind
from tests.statistics.factories import make_runs, slowed

KNOWN = NoisePrior(run=0.006, run_freedom=30)


def analyzed(
    ours: list[RunSample],
    theirs: list[RunSample],
    plan: StoppingPlan,
    layout: Layout = Layout.STORED,
    *,
    prior: NoisePrior | None = None,
    budget_spent: bool = False,
) -> InterimAnalysis:
    evidence = gather(ours, theirs, layout, prior)
    return analyze(evidence, plan, 0.05, ComparisonSettings(), budget_spent=budget_spent)


@pytest.mark.parametrize("power", [0.3, 0.5, 1.0])
def test_interim_analyses_together_keep_the_error(power: float) -> None:
    errors = interim_levels(2, 10, 0.05, power)
    assert len(errors) == 9
    walks = np.random.default_rng(11).normal(size=(200_000, 10)).cumsum(axis=1)
    scores = walks[:, 1:] / np.sqrt(np.arange(2, 11))
    crossed = (scores > -ndtri(np.array(errors))).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.002)


def test_a_single_analysis_has_the_whole_error() -> None:
    assert interim_levels(5, 5, 0.005, 0.5) == (0.005,)


@pytest.mark.parametrize("layout", [Layout.SIDE_BY_SIDE, Layout.INTERLEAVED])
def test_a_clear_case_stops_early(layout: Layout) -> None:
    rng = np.random.default_rng(12)
    ours, theirs = make_runs(rng, 10), make_runs(rng, 10)
    plan = StoppingPlan(most=10)
    same = analyzed(ours[:3], theirs[:3], plan, layout=layout, prior=KNOWN)
    assert (same.stop, same.comparison.kind) == (StopReason.CLEAR, VerdictKind.UNCHANGED)
    slower = analyzed(slowed(ours[:3], 0.2), theirs[:3], plan, layout=layout, prior=KNOWN)
    assert (slower.stop, slower.comparison.kind) == (StopReason.CLEAR, VerdictKind.REGRESSED)


def test_it_goes_on_while_that_helps_and_stops_when_it_cannot() -> None:
    rng = np.random.default_rng(13)
    ours, theirs = make_runs(rng, 12, run=0.5), make_runs(rng, 12, run=0.5)
    stops = [
        analyzed(ours[:count], theirs[:count], StoppingPlan(most=12), layout=Layout.SIDE_BY_SIDE).stop
        for count in range(3, 13)
    ]
    assert stops[0] == StopReason.NOT_YET
    assert StopReason.FUTILE in stops
    assert stops[-1] == StopReason.BUDGET


def test_a_spent_budget_ends_it() -> None:
    rng = np.random.default_rng(14)
    ours, theirs = make_runs(rng, 3, run=0.1), make_runs(rng, 3, run=0.1)
    found = analyzed(ours, theirs, StoppingPlan(most=12), layout=Layout.SIDE_BY_SIDE, budget_spent=True)
    assert (found.stop, found.comparison.kind) == (StopReason.BUDGET, VerdictKind.INCONCLUSIVE)


def test_false_alarms_of_all_analyses_together() -> None:
    rng = np.random.default_rng(15)
    plan, kinds = StoppingPlan(most=8), Counter[VerdictKind]()
    for _ in range(150):
        ours, theirs = make_runs(rng, 8, run=0.03), make_runs(rng, 8, run=0.03)
        for count in range(plan.first, plan.most + 1):
            found = analyzed(ours[:count], theirs[:count], plan, layout=Layout.SIDE_BY_SIDE)
            if found.stop != StopReason.NOT_YET:
                kinds[found.comparison.kind] += 1
                break
    assert kinds.total() == 150
    assert kinds[VerdictKind.REGRESSED] <= 3


def test_an_analysis_outside_the_plan_is_refused() -> None:
    runs = make_runs(np.random.default_rng(16), 3)
    with pytest.raises(ValueError, match="an interim analysis needs 3 to 5 runs, and there are 2"):
        analyzed(runs[:2], runs, StoppingPlan(most=5))
    with pytest.raises(ValueError, match="the first interim analysis is after 1 to 2 runs"):
        StoppingPlan(most=2, first=3)
