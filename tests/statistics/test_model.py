from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gaudi_perf.statistics.model import Covariates, SpreadPrior, posterior

NO_GROUPS = {"group": 1e-7, "group_freedom": 1e6, "group_share": 0.0}


def sides(candidate: int, baseline: int) -> np.ndarray:
    return np.repeat([0.5, -0.5], [candidate, baseline])


@pytest.mark.parametrize("freedom", [4.0, 10.0])
@pytest.mark.parametrize("order", [0.0005, 0.005, 0.3, 0.9, 0.995])
def test_without_groups_it_is_the_moderated_t_distribution(freedom: float, order: float) -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(0.05, 0.01, 6), rng.normal(0, 0.01, 5)
    known = posterior(
        np.concatenate([ours, theirs]),
        sides(6, 5),
        np.arange(11),
        SpreadPrior(run=0.02, run_freedom=freedom, doubted=False, **NO_GROUPS),
    )
    squares = ((ours - ours.mean()) ** 2).sum() + ((theirs - theirs.mean()) ** 2).sum()
    variance = (freedom * 0.02**2 + squares) / (freedom + 9)
    expected = ours.mean() - theirs.mean() + stats.t.ppf(order, freedom + 9) * np.sqrt(variance * (1 / 6 + 1 / 5))
    assert known.quantile(order) == pytest.approx(expected, abs=2e-5)
    assert known.below(expected) == pytest.approx(order, abs=0.005)


def test_sessions_count_when_runs_share_them() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0, 0.002, 40)
    prior = SpreadPrior(run=0.002, run_freedom=5, group=0.01, group_freedom=20, group_share=0.0)
    one_session_each = posterior(values, sides(20, 20), np.repeat([0, 1], 20), prior)
    same_session = posterior(values, sides(20, 20), np.zeros(40, dtype=np.intp), prior)

    def width(known: object) -> float:
        return float(known.quantile(0.84) - known.quantile(0.16)) / 2  # type: ignore[attr-defined]

    assert width(one_session_each) == pytest.approx(0.01 * np.sqrt(2), rel=0.1)
    assert width(same_session) < 0.001


def test_spread_between_groups_is_found() -> None:
    rng = np.random.default_rng(5)
    sessions = np.repeat(np.arange(60), 4)
    values = rng.normal(0, 0.03, 60)[sessions] + rng.normal(0, 0.01, 240)
    prior = SpreadPrior(run=0.005, run_freedom=0.5, group=0.01, group_freedom=2, group_share=0.1)
    known = posterior(values, sides(120, 120), sessions, prior)
    assert known.group == pytest.approx(0.03, rel=0.25)
    assert known.run == pytest.approx(0.01, rel=0.15)


def test_a_covariate_that_helps_is_used_and_one_that_does_not_drops_out() -> None:
    rng = np.random.default_rng(6)
    machine = rng.normal(0, 0.3, 30)
    prior = SpreadPrior(run=0.01, run_freedom=0.5, **NO_GROUPS)

    def coefficient(values: np.ndarray) -> tuple[float, float]:
        covariates = Covariates(machine[:, None], np.array([0.3]), np.array([0.3]))
        known = posterior(values, sides(10, 20), np.arange(30), prior, covariates)
        return float(known.coefficients[0]), known.run

    helped, left = coefficient(0.8 * machine + rng.normal(0, 0.02, 30))
    assert helped == pytest.approx(0.8, abs=0.05)
    assert left == pytest.approx(0.02, rel=0.4)
    useless, _ = coefficient(rng.normal(0, 0.02, 30))
    assert useless == pytest.approx(0.0, abs=0.05)


def test_differences_need_no_level() -> None:
    values = np.array([0.02, 0.03, 0.025, 0.028, 0.022])
    known = posterior(
        values,
        np.ones(5),
        np.arange(5),
        SpreadPrior(run=0.004, run_freedom=3.0, doubted=False, **NO_GROUPS),
        level=False,
    )
    variance = (3 * 0.004**2 + ((values - values.mean()) ** 2).sum()) / 7
    expected = values.mean() + stats.t.ppf(0.005, 7) * np.sqrt(variance / 5)
    assert known.quantile(0.005) == pytest.approx(expected, abs=2e-5)


def test_an_expectation_that_runs_contradict_is_dropped() -> None:
    rng = np.random.default_rng(11)
    values = rng.normal(0, 0.19, 12)

    def width(run_freedom: float) -> float:
        known = posterior(
            values, sides(6, 6), np.arange(12), SpreadPrior(run=0.005, run_freedom=run_freedom, **NO_GROUPS)
        )
        return known.quantile(0.995) - known.quantile(0.005)

    ordinary = 2 * stats.t.ppf(0.995, 10) * np.sqrt((values[:6].var(ddof=1) + values[6:].var(ddof=1)) / 2 / 3)
    assert width(4.0) == pytest.approx(ordinary, rel=0.05)


def test_the_evidence_for_a_covariate_is_its_bayes_factor() -> None:
    rng = np.random.default_rng(9)
    run, session = 0.01, 0.02
    groups = np.repeat(np.arange(4), 3)
    side = sides(6, 6)
    values = rng.normal(0, run, 12) + rng.normal(0, session, 4)[groups] + np.where(groups == 1, 0.06, 0.0)
    slow = (groups == 1).astype(np.float64)[:, None]
    prior = SpreadPrior(run=run, run_freedom=1e5, group=session, group_freedom=1e5, group_share=0.0, doubted=False)
    given = Covariates(values=slow, expected=np.array([0.05]), uncertainty=np.array([0.04]))
    found = (
        posterior(values, side, groups, prior, given).log_evidence - posterior(values, side, groups, prior).log_evidence
    )
    flat = 1e3 * (np.ones((12, 12)) + np.outer(side, side))
    known = run**2 * np.eye(12) + session**2 * (groups[:, None] == groups[None, :]) + flat
    with_it = stats.multivariate_normal.logpdf(values, 0.05 * slow[:, 0], known + 0.04**2 * slow @ slow.T)
    without = stats.multivariate_normal.logpdf(values, np.zeros(12), known)
    assert found == pytest.approx(with_it - without, abs=0.02)
