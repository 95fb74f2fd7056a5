"""What the comparisons of a session's outputs come to, for a worker group whose logits are written down here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from gaudi_perf import protocol
from gaudi_perf.statistics.outputs import FROM_BFLOAT16, WRONG
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.run import TokenTrace
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.checking import Checked, OutputChecker
from tests.shapes import bloom

TOKENS = [10, 11, 12]


def case(kv_cache: bool = True) -> Case:
    configuration = Configuration(model="bloomz7b", devices=1, graphs=False, kv_cache=kv_cache)
    return Case(configuration=configuration, accelerator="cpu", workload=Workload(new_tokens=3), scale="standin")


class Group:
    """Answers as a worker group: its second likeliest token is ``gap`` below the likeliest, and chosen if it is 0.

    ``off`` moves every other logit of the plain pass, ``asked`` the tokens along which it was led without it.
    """

    def __init__(self, gap: float = 1.0, off: float = 0.0, unquantized: Any = None) -> None:
        self.spec = SimpleNamespace(built=bloom(hidden_size=256, layers=3, heads=8, vocabulary=2048))
        self.loaded = SimpleNamespace(unquantized=unquantized)
        self.gap, self.off = gap, off
        self.asked: list[list[int]] = []

    def ask(self, request: protocol.Trace, kind: type[protocol.Traced], phase: str) -> protocol.Traced:
        if not request.plain:
            self.asked += request.token_ids
        return kind(traces=[self.trace(row, self.off if request.plain else 0.0) for row in request.token_ids])

    def trace(self, row: list[int], off: float) -> TokenTrace:
        steps = len(row)
        return TokenTrace(
            token_ids=row,
            likeliest=[[TOKENS[step], 99] if self.gap or off else [99, TOKENS[step]] for step in range(steps)],
            logits=[[5.0, 5.0 - self.gap]] * steps,
            followed=[5.0] * steps,
            spread=[1.0] * steps,
            magnitude=[1.0] * steps,
            sample=[[off * (place % 2) + place / 100 for place in range(200)]] * steps,
        )

    def checked(self, checker: OutputChecker, of: Case, tokens: list[int] = TOKENS) -> Checked:
        return checker.check(self, of, [tokens])  # type: ignore[arg-type]


def test_equal_outputs_are_neither_problem_nor_note() -> None:
    checker = OutputChecker()
    for group in (Group(), Group()):
        checked = group.checked(checker, case())
        assert checked.problems == checked.notes == checked.contradicts == [] and checked.trace is not None
        assert group.asked == [TOKENS], "its tokens are those of the first: its trace serves both comparisons"


def test_another_token_is_a_note_where_rounding_explains_it_and_else_a_problem() -> None:
    checked = Group(gap=0.0).checked(OutputChecker(), case())
    assert checked.problems == []
    assert checked.notes and all(note.startswith("differs by rounding from its own rounds") for note in checked.notes)
    checked = Group(gap=3.0).checked(OutputChecker(), case(), [10, 99, 12])
    assert checked.notes == []
    (problem,) = checked.problems
    assert problem.startswith(f"{WRONG}: against its own rounds, step 2 of 3: token 99 instead of 11")


def test_a_case_that_differs_from_the_first_of_its_model_contradicts_it() -> None:
    checker = OutputChecker()
    assert Group().checked(checker, case()).problems == []
    other = Group()
    other.trace = lambda row, off: Group.trace(other, row, 3.0)  # type: ignore[method-assign]
    first, second = case().id, case(kv_cache=False)
    checked = other.checked(checker, second)
    assert checked.contradicts == [first]
    (problem,) = checked.problems
    assert problem.startswith(f"{WRONG}: against {first}, ") and problem.endswith(": one of the two is wrong")
    checked = other.checked(checker, case())
    assert checked.contradicts == [] and "one of the two" not in checked.problems[0], "the same case, another run"
    wrong = Group(off=3.0)
    wrong.trace = lambda row, off: Group.trace(wrong, row, 3.0 - off)  # type: ignore[method-assign]
    checked = wrong.checked(checker, second)
    assert checked.contradicts == [] and len(checked.problems) == 2, "it is wrong by itself"


def test_fp8_within_its_bounds_is_a_note_and_beyond_them_a_problem() -> None:
    def checked(error: float) -> Checked:
        wide = replace(Group().trace(TOKENS, 0.0))
        quantized = SimpleNamespace(trace=wide, prompt_ids=[1, 2], layer="layer 1", error=error)
        return Group(unquantized=quantized).checked(OutputChecker(), case())

    fine, wrong = checked(0.04), checked(0.9)
    assert fine.problems == [] and fine.notes[0].startswith(FROM_BFLOAT16)
    assert wrong.notes == [] and wrong.problems[0].startswith(f"{WRONG}: against the model in bfloat16, ")
