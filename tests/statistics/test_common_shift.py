from __future__ import annotations

import numpy as np

from gaudi_perf.statistics.common_shift import another_machine, without_common_shift
from gaudi_perf.statistics.evidence import Evidence, Layout, gather
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.verdict import ComparisonSettings, decide
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.statistics.factories import make_runs, slowed


def a_session(
    changes: list[float], *, common: float = 0.0, probes: float | None = None, layout: Layout = Layout.STORED
) -> dict[int, Evidence]:
    """The evidence of cases that changed by shares, in a session that makes all longer by one and probes by another."""
    rng = np.random.default_rng(3)
    found = {}
    for number, change in enumerate(changes):
        before, now = (None if probes is None else rng.normal(shift, 0.002, 5) for shift in (0.0, probes or 0.0))
        baseline = [
            run
            for session in range(5)
            for run in make_runs(
                rng, 1, session=f"before {session}", probes=None if before is None else before[session:]
            )
        ]
        candidate = make_runs(rng, 5, session="now", probes=now)
        found[number] = gather(slowed(slowed(candidate, common), change), baseline, layout)
    return found


def regressed(session: dict[int, Evidence]) -> dict[int, float]:
    """What is REGRESSED beside the others, and by how much."""
    decided = {key: decide(one, 0.05, ComparisonSettings()) for key, one in without_common_shift(session).items()}
    return {key: one.ratio for key, one in decided.items() if one.kind is VerdictKind.REGRESSED}


def test_a_case_that_is_slower_than_the_others_is_found_in_a_slow_session() -> None:
    changes = [0.0, 0.0, 0.0, 0.12, 0.0, 0.0, 0.0]
    for session in (a_session(changes, common=0.08), a_session(changes, common=0.08, probes=0.08)):
        alone = decide(session[0], 0.05, ComparisonSettings())
        assert alone.kind is VerdictKind.INCONCLUSIVE
        found = regressed(session)
        assert list(found) == [3] and 1.09 < found[3] < 1.15


def test_without_probes_a_case_is_slower_by_itself_where_the_others_are_not() -> None:
    session = a_session([0.08, *[0.0] * 6])
    assert decide(session[0], 0.05, ComparisonSettings()).kind is VerdictKind.INCONCLUSIVE, "one slow session looks so"
    assert list(regressed(session)) == [0], "it would have slowed the other cases, too"


def test_what_all_cases_share_is_nobodys_own() -> None:
    for probes in (None, 0.08):
        assert regressed(a_session([0.0] * 8, common=0.08, probes=probes)) == {}


def test_a_case_that_stays_where_others_become_faster_is_not_slower() -> None:
    for probes in (None, 0.08):
        assert regressed(a_session([0.0, *[-0.08] * 7], probes=probes)) == {}


def test_a_session_that_slows_cases_unlike_shows_nothing() -> None:
    assert regressed(a_session([0.0, 0.02, 0.03, 0.05, 0.06, 0.07, 0.09, 0.1])) == {}


def test_few_cases_and_sessions_that_are_not_in_question_are_left_alone() -> None:
    assert without_common_shift(a_session([0.0] * 4, common=0.08)) == {}
    assert without_common_shift(a_session([0.0] * 6, probes=0.0)) == {}
    assert without_common_shift(a_session([0.0] * 6, layout=Layout.SIDE_BY_SIDE)) == {}


def test_probes_that_lie_far_apart_hide_another_machine_unless_other_cases_show_it() -> None:
    rng = np.random.default_rng(4)
    baseline = [
        run
        for session, probe in enumerate([0.0, 0.0, 0.01, -0.01, 0.08])
        for run in make_runs(rng, 1, session=f"before {session}", probes=np.array([probe]))
    ]
    candidate = make_runs(rng, 5, level=0.07, session="now", probes=np.array([0.01, 0.03, 0.05, 0.07, 0.09]))
    alone, among = (gather(candidate, baseline, Layout.STORED, NoisePrior(unusual=known)) for known in (False, True))
    assert not another_machine([alone]) and another_machine([among])
    assert decide(alone, 0.05, ComparisonSettings()).kind is VerdictKind.REGRESSED
    assert decide(among, 0.05, ComparisonSettings()).kind is VerdictKind.INCONCLUSIVE


def test_most_cases_decide_whether_the_machine_is_another() -> None:
    usual, shifted = (a_session([0.0] * 5, common=probes, probes=probes) for probes in (0.0, 0.08))
    assert not another_machine([]) and not another_machine(list(usual.values()))
    assert another_machine([usual[0], shifted[1], shifted[2]])
    assert not another_machine([usual[0], shifted[1]])
