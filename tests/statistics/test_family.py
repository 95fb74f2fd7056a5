from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gaudi_perf.statistics.family import judge_family
from gaudi_perf.statistics.verdict import Comparison, VerdictKind, compare
from tests.statistics.making import make_runs


def comparison(p_slower: float, ratio: float = 1.08) -> Comparison:
    runs = make_runs(np.random.default_rng(20), 3)
    kind = VerdictKind.REGRESSED if p_slower <= 0.005 else VerdictKind.UNCHANGED
    return replace(compare(runs, runs), kind=kind, p_slower=p_slower, p_faster=1 - p_slower, ratio=ratio, reason="why")


def test_one_case_alone_stays_what_it_is() -> None:
    family = judge_family({"one": comparison(0.004)})
    assert family.comparisons["one"].kind == VerdictKind.REGRESSED
    assert family.withdrawn == ()


def test_among_many_a_weak_alarm_is_withdrawn_and_a_strong_one_stays() -> None:
    cases = {f"case-{number}": comparison(0.5) for number in range(10)}
    weak = judge_family({**cases, "odd": comparison(0.004)})
    assert weak.withdrawn == ("odd",)
    assert weak.comparisons["odd"].kind == VerdictKind.INCONCLUSIVE
    assert weak.comparisons["odd"].advice
    assert "1 withdrawn" in weak.statement and "at most 1%" in weak.statement
    strong = judge_family({**cases, "odd": comparison(0.0001)})
    assert strong.withdrawn == ()


def test_many_alarms_uphold_each_other() -> None:
    cases = {f"case-{number}": comparison(0.004) for number in range(8)}
    family = judge_family(cases)
    assert family.withdrawn == ()
    assert "8 of 8 are slower" in family.remark


def test_an_empty_session_is_a_family() -> None:
    assert judge_family({}).comparisons == {}


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="false_discoveries"):
        judge_family({}, 1.0)
