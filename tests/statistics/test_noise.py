from __future__ import annotations

import numpy as np
import pytest

from gaudi_perf.statistics.noise import NoisePrior, allowed_range, learn_noise_prior, with_slow_share
from gaudi_perf.statistics.sample import RunSample, levels, pooled_spread
from gaudi_perf.statistics.verdict import compare
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.statistics.factories import make_runs


def history(
    rng: np.random.Generator, sessions: int, runs: int, session: float, run: float, *, bad: int = 0, share: float = 1.0
) -> list[RunSample]:
    """Nights, the first ``bad`` of them 8 % slow, by their probes and (times ``share``) their rounds."""
    made: list[RunSample] = []
    for number in range(sessions):
        slow = 0.08 if number < bad else 0.0
        level = rng.normal(0, session) + share * slow
        probes = slow + rng.normal(0, 0.002, runs)
        made += make_runs(rng, runs, level=level, run=run, round_=0.005, session=f"session {number}", probes=probes)
    return made


def test_spreads_of_every_level_are_learned() -> None:
    usual = learn_noise_prior(history(np.random.default_rng(30), 60, 4, session=0.03, run=0.01))
    assert usual.session == pytest.approx(0.03, rel=0.25)
    assert usual.run == pytest.approx(0.01, rel=0.15)
    assert usual.session_freedom == 10 + 59
    assert usual.run_freedom == 4 + 180


def test_a_bad_session_is_no_usual_noise_but_teaches_what_probes_mean() -> None:
    default = NoisePrior()
    usual = learn_noise_prior(history(np.random.default_rng(31), 30, 2, session=0.01, run=0.005, bad=2, share=0.75))
    assert usual.session == pytest.approx(0.01, rel=0.3)
    assert usual.shift_coefficient == pytest.approx(0.75, abs=0.2)
    assert usual.shift_uncertainty < default.shift_uncertainty / 2


def test_a_single_run_teaches_nothing() -> None:
    (run,) = make_runs(np.random.default_rng(32), 1)
    assert learn_noise_prior([run]) == NoisePrior()
    with pytest.raises(ValueError, match="no runs"):
        learn_noise_prior([])


def test_spread_between_runs_is_around_each_side() -> None:
    rng = np.random.default_rng(33)
    sides = [make_runs(rng, 200, level=level, run=0.05, round_=0.001) for level in (0.0, 3.0)]
    values = levels([*sides[0], *sides[1]])
    assert pooled_spread(values, np.repeat([0, 1], 200)) == pytest.approx(0.05, rel=0.1)
    assert pooled_spread(values[[0, 200]], np.array([0, 1])) == 0


@pytest.mark.parametrize("field", ["session", "run", "session_freedom", "run_freedom", "shift_uncertainty"])
def test_noise_that_is_none_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        NoisePrior(**{field: 0.0})


@pytest.mark.parametrize("since", range(0, 25, 3))
@pytest.mark.parametrize("slower", [0.05, 0.1, 0.2])
def test_a_slowdown_that_stays_does_not_become_usual_noise(since: int, slower: float) -> None:
    rng = np.random.default_rng(31)

    def session(name: str, level: float) -> list[RunSample]:
        probes = rng.normal(0, 0.002, 5)  # they say that no session was slow by itself
        return make_runs(rng, 5, level=level + rng.normal(0, 0.005), run=0.003, session=name, probes=probes)

    good = [run for number in range(12) for run in session(f"good {number}", 0.0)]
    slow = [run for number in range(since) for run in session(f"slow {number}", slower)]
    learned = learn_noise_prior([*good, *slow])
    assert learned.session < 0.01
    assert compare(session("candidate", slower), good[::12], prior=learned).kind == VerdictKind.REGRESSED


def test_a_slow_session_is_alone_and_slower() -> None:
    rng = np.random.default_rng(5)

    def share(*factors: float) -> float:
        runs = [
            run
            for number, factor in enumerate(factors)
            for run in make_runs(rng, 2, level=float(np.log(factor)), session=f"{number:02d}")
        ]
        return with_slow_share(NoisePrior(), [runs]).slow_sessions

    usual = [1.0] * 9
    assert share() == NoisePrior.slow_sessions
    assert share(*usual, *usual) == pytest.approx(6 / 218)
    assert share(*usual, 1.2, *usual) == pytest.approx(7 / 219)
    assert share(*usual, 1.2, 1.2, *usual) == pytest.approx(6 / 220), "two in a row are a level"
    assert share(*usual, 0.8, *usual) == pytest.approx(6 / 219), "a fast one is no slow one"


def test_sessions_that_are_not_slow_make_slow_ones_rarer() -> None:
    rng = np.random.default_rng(6)
    histories = [
        [run for name in range(count) for run in make_runs(rng, 2, session=f"{name:02d}")] for count in (40, 80)
    ]
    fewer, more = (with_slow_share(NoisePrior(), [runs]) for runs in histories)
    assert fewer.slow_sessions_after(40) == pytest.approx(more.slow_sessions)
    assert fewer.slow_sessions_after(0) == fewer.slow_sessions


def test_runs_of_one_level_are_within_the_allowed_range() -> None:
    rng = np.random.default_rng(31)
    usual = NoisePrior(run=0.01, run_freedom=30)
    for several in (False, True):
        outside = 0
        for _ in range(2000):
            shifts = rng.normal(0, usual.session, 3)
            samples = [
                RunSample(
                    rounds=np.exp(rng.normal(0, 0.01) + (shifts[number % 3] if several else 0.0)) * np.ones(9),
                    session=str(number % 3 if several else 0),
                )
                for number in range(6)
            ]
            values = np.exp(levels(samples))
            outside += bool(values.max() / values.min() - 1 > allowed_range(samples, usual))
        assert outside <= 10  # expected: 2 at most


def test_no_noise_makes_one_level_of_everything() -> None:
    wild = np.exp(np.random.default_rng(1).normal(0, 0.5, 9))
    assert allowed_range([RunSample(rounds=wild * level) for level in (1.0, 2.0, 3.0)], NoisePrior(run=1.0)) == 0.5
