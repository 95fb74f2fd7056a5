from __future__ import annotations

import numpy as np
import pytest

from gaudi_perf.statistics.sample import RunSample, interquartile_mean, median_error, round_spread
from tests.statistics.factories import make_runs


@pytest.mark.parametrize(
    "rounds", [[], [np.nan], [np.inf, 1.0], [0.0], [-1.0], [[1.0, 2.0]]], ids=lambda rounds: str(rounds)
)
def test_what_is_no_duration_is_refused(rounds: list[float]) -> None:
    with pytest.raises(ValueError, match="rounds must be finite seconds above 0"):
        RunSample(rounds=np.array(rounds, dtype=np.float64))


def test_probes_bracket_every_round() -> None:
    with pytest.raises(ValueError, match="there are 1 probes for 2 rounds"):
        RunSample(rounds=np.array([1.0, 2.0]), probes=np.array([1.0]))
    with pytest.raises(ValueError, match="probes must be finite"):
        RunSample(rounds=np.array([1.0, 2.0]), probes=np.array([1.0, np.nan]))


def test_spread_of_rounds_is_found_and_shrugs_off_a_burst() -> None:
    runs = make_runs(np.random.default_rng(0), 20, round_=0.03, rounds=200)
    assert round_spread(runs) == pytest.approx(0.03, rel=0.1)
    burst = [RunSample(rounds=np.concatenate([run.rounds, run.rounds[:20] * 5])) for run in runs]
    assert round_spread(burst) == pytest.approx(0.03, rel=0.25)


def test_error_of_a_median_is_that_of_simulation() -> None:
    runs = make_runs(np.random.default_rng(1), 2000, run=0.0, round_=0.02, rounds=15)
    assert median_error(runs) == pytest.approx(np.std([run.level for run in runs]), rel=0.1)


def test_unrest_does_not_see_a_slowdown_and_sees_disturbances() -> None:
    (run,) = make_runs(np.random.default_rng(2), 1, rounds=20)
    slower = RunSample(rounds=run.rounds * 1.3)
    assert slower.tail_spread == pytest.approx(run.tail_spread)
    disturbed = run.rounds.copy()
    disturbed[:12] *= 1.5
    unrest = RunSample(rounds=disturbed).tail_spread
    assert unrest is not None and unrest > 0.3
    assert RunSample(rounds=np.array([1.0, 1.1])).tail_spread is None


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([4], 4),
        ([4, 8], 6),
        ([99, 2, 1], 2),
        ([99, 2, 4, 0], 3),
        ([99, 2, 4, 0, 5], 4),
        ([99, 98, 1, 2, 3, 6, -99, -98], 3),
    ],
)
def test_a_quarter_of_the_values_may_be_bad_on_either_side(values: list[float], mean: float) -> None:
    assert interquartile_mean(np.array(values, dtype=np.float64)) == mean
