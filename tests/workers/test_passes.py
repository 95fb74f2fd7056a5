"""The order of runs and rounds on two stacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.workers.controller.group import GroupFailure
from gaudi_perf.workers.controller.passes import Passes, Side
from tests.stores.factories import make_run

ONE, OTHER = make_run(kv_cache=True).case, make_run(kv_cache=False).case


class ToldMeasurer:
    """Writes down what it is asked to do."""

    def __init__(self, name: str, log: list[str], fails_in: str = "", rounds: int = 4) -> None:
        self._name, self._log, self._fails_in, self._rounds = name, log, fails_in, rounds

    def end_group(self) -> None:
        self._log.append(f"{self._name} ends")

    def measure(self, case: Case) -> Run:
        return self._run(case)

    def steps(self, case: Case, *, one_by_one: bool) -> Iterator[Run | None]:
        assert one_by_one
        self._log.append(f"{self._name} warm")
        for number in range(self._rounds):
            yield None
            if self._fails_in == f"round {number}":
                raise GroupFailure("rounds", "told to fail")
            self._log.append(f"{self._name}{number}")
        yield None
        yield self._run(case)

    def _run(self, case: Case) -> Run:
        if self._fails_in == case.id:
            raise GroupFailure("rounds", "told to fail")
        self._log.append(f"{self._name} {'one' if case == ONE else 'other'}")
        return make_run(kv_cache=case.configuration.kv_cache)


def passes(log: list[str], *, turns: bool = False, **second: Any) -> Passes:
    sides = [Side(ToldMeasurer("A", log)), Side(ToldMeasurer("B", log, **second))]  # type: ignore[arg-type]
    return Passes(sides, lambda run: log.append("kept"), rounds_in_turns=turns)


def what(log: list[str]) -> list[str]:
    return [line for line in log if line != "kept" and not line.endswith("ends")]


def test_runs_are_in_balanced_order_and_every_run_is_in_a_fresh_group() -> None:
    log: list[str] = []
    made = passes(log)
    made.measure([ONE], lambda case, done: done >= 4)
    assert what(log) == ["A one", "B one", "B one", "A one", "A one", "B one", "B one", "A one"]
    assert all(log[log.index(line) - 1] == "B ends" for line in ("A one", "B one"))
    assert log.count("A ends") == log.count("B ends") == 8
    assert log.count("kept") == 8 and all(len(side.runs[ONE]) == 4 for side in made.sides)


def test_what_has_enough_is_left_out_of_later_passes() -> None:
    log: list[str] = []
    passes(log).measure([ONE, OTHER], lambda case, done: done >= (1 if case == ONE else 2))
    assert what(log) == ["A one", "A other", "B one", "B other", "B other", "A other"]


def test_a_case_that_failed_on_one_stack_is_measured_on_neither_again() -> None:
    log: list[str] = []
    made = passes(log, fails_in=ONE.id)
    made.measure([ONE, OTHER], lambda case, done: done >= 2)
    assert what(log) == ["A one", "A other", "B other", "B other", "A other"]
    assert made.failures[ONE].sentence == "told to fail"


def test_rounds_are_in_balanced_order_with_both_groups_alive() -> None:
    log: list[str] = []
    made = passes(log, turns=True)
    made.measure([ONE], lambda case, done: done >= 1)
    rounds = ["A0", "B0", "B1", "A1", "A2", "B2", "B3", "A3"]
    assert what(log) == ["A warm", "B warm", *rounds, "A one", "B one"]
    assert [len(side.runs[ONE]) for side in made.sides] == [1, 1]


def test_stacks_may_have_different_numbers_of_rounds() -> None:
    log: list[str] = []
    made = passes(log, turns=True, rounds=2)
    made.measure([ONE], lambda case, done: done >= 1)
    assert [len(side.runs[ONE]) for side in made.sides] == [1, 1]
    assert {"A3", "B1"} <= set(log)


@pytest.mark.parametrize("where", ["round 0", "round 3", ONE.id])
def test_a_failure_amid_rounds_in_turns_ends_both_groups(where: str) -> None:
    log: list[str] = []
    made = passes(log, turns=True, fails_in=where)
    made.measure([ONE, OTHER], lambda case, done: done >= 1)
    assert ONE in made.failures
    assert all(ONE not in side.runs for side in made.sides)
    assert "kept" not in log[: log.index("B ends", 2)]
