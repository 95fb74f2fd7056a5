from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gaudi_perf.reports import wording
from gaudi_perf.statistics.multiple_testing import CommonSlowdown, common_slowdown, regressed_among_all
from gaudi_perf.statistics.verdict import Comparison, compare
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.statistics.factories import make_runs


def comparison(p_slower: float, ratio: float = 1.08) -> Comparison:
    runs = make_runs(np.random.default_rng(20), 3)
    kind = VerdictKind.REGRESSED if p_slower <= 0.005 else VerdictKind.UNCHANGED
    return replace(compare(runs, runs), kind=kind, p_slower=p_slower, p_faster=1 - p_slower, ratio=ratio)


def test_one_case_alone_stays_what_it_is() -> None:
    assert regressed_among_all({"one": comparison(0.004)}, 0.01) == {"one"}
    assert regressed_among_all({"one": comparison(0.006)}, 0.01) == set(), "it is not REGRESSED by itself"


def test_among_many_a_weak_alarm_is_none_and_a_strong_one_stays() -> None:
    cases = {f"case-{number}": comparison(0.5) for number in range(10)}
    assert regressed_among_all({**cases, "odd": comparison(0.004)}, 0.01) == set()
    assert regressed_among_all({**cases, "odd": comparison(0.0001)}, 0.01) == {"odd"}


def test_many_alarms_uphold_each_other() -> None:
    cases = {f"case-{number}": comparison(0.004, ratio=1.05 + number / 100) for number in range(8)}
    regressed = regressed_among_all(cases, 0.01)
    assert regressed == set(cases)
    common = common_slowdown(cases, regressed)
    assert common == CommonSlowdown(8, 8, 1.05, pytest.approx(1.12))
    assert common is not None and "8 of 8 cases are slower, by 5.0 % to 12.0 %" in wording.common_slowdown(common)
    assert common_slowdown(cases, {"case-1"}) is None


def test_an_empty_session_has_nothing_in_common() -> None:
    assert regressed_among_all({}, 0.01) == set() and common_slowdown({}, set()) is None


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="the rate is"):
        regressed_among_all({}, 1.0)
