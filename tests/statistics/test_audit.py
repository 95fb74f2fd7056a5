from __future__ import annotations

import numpy as np
import pytest

from gaudi_perf.statistics.audit import Design, audit, draw_pairs, draw_stored
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.statistics.factories import make_runs


def test_an_audit_of_a_quiet_history() -> None:
    rng = np.random.default_rng(50)
    history = [
        sample
        for number in range(30)
        for sample in make_runs(
            rng, 3, level=rng.normal(0, 0.01), session=f"session {number}", probes=rng.normal(0, 0.002, 3)
        )
    ]
    outcome = audit(history, Design(candidates=3, baselines=12), repeats=60)
    assert outcome.false_alarms <= 0.02 < outcome.false_alarms_high < 0.1
    assert outcome.smallest_detectable_slowdown in (0.05, 0.1)
    assert outcome.wrong_unchanged == 0
    for shares in outcome.shares.values():
        assert sum(shares.values()) == pytest.approx(1)
    assert outcome.shares[0.5][VerdictKind.REGRESSED] == 1


def test_an_audit_side_by_side_of_a_restless_machine_says_so() -> None:
    history = make_runs(np.random.default_rng(51), 60, run=0.3, round_=0.1)
    outcome = audit(history, Design(candidates=5, side_by_side=True), repeats=40)
    assert outcome.smallest_detectable_slowdown is None
    assert outcome.shares[0.0][VerdictKind.INCONCLUSIVE] > 0.9


def test_the_same_seed_gives_the_same_audit() -> None:
    history = make_runs(np.random.default_rng(52), 30)
    design = Design(candidates=2, baselines=4)
    assert audit(history, design, repeats=10) == audit(history, design, repeats=10)


def test_draws_do_not_overlap_and_sessions_stay_apart() -> None:
    rng = np.random.default_rng(53)
    plain = make_runs(rng, 12)
    labelled = [sample for number in range(6) for sample in make_runs(rng, 3, session=f"session {number}")]
    for _ in range(50):
        stored = draw_stored(plain, 4, 6, rng)
        assert (len(stored.candidate), len(stored.baseline)) == (4, 6)
        assert not {id(sample) for sample in stored.candidate} & {id(sample) for sample in stored.baseline}
        sessions = draw_stored(labelled, 2, 7, rng)
        assert {s.session for s in sessions.candidate}.isdisjoint({s.session for s in sessions.baseline})
        assert len({s.session for s in sessions.candidate}) == 1
        pairs = draw_pairs(plain, 5, rng)
        positions = {id(sample): position for position, sample in enumerate(plain)}
        for ours, theirs in zip(pairs.candidate, pairs.baseline, strict=True):
            assert positions[id(ours)] // 2 == positions[id(theirs)] // 2
        pairs = draw_pairs(labelled, 6, rng)  # a session of three has one, and not one with its neighbour
        assert all(a.session == b.session for a, b in zip(pairs.candidate, pairs.baseline, strict=True))
    with pytest.raises(ValueError, match="6 pairs"):
        draw_pairs(labelled, 7, rng)


def test_a_short_history_is_refused() -> None:
    history = make_runs(np.random.default_rng(54), 6)
    with pytest.raises(ValueError, match="the history has 6 runs, and 8 are needed"):
        audit(history, Design(candidates=3, baselines=5))
    with pytest.raises(ValueError, match="3 pairs of runs of a session, and 5 are needed"):
        audit(history, Design(candidates=5, side_by_side=True))
    with pytest.raises(ValueError, match="repeat"):
        audit(history, Design(), repeats=0)
