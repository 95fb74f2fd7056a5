"""A generation that is led along tokens gives the logits of the very way in which it generates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings

from gaudi_perf.accelerators.cuda.capture import Captures, ConstantAlibi
from gaudi_perf.generation.fused_decode import FusedDecodeGeneration
from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.generation.tracing import Tracer, trace_of_one_pass
from gaudi_perf.vocabulary.errors import NotNumbersError
from gaudi_perf.vocabulary.run import TokenTrace
from tests.accelerators.lowest import no_tape
from tests.accelerators.tape import record
from tests.accelerators.test_generation import STATIC, Task, tasks

KINDS = (
    "plain",
    "plain without cache",
    "static",
    "static without cache",
    "captured",
    "captured without cache",
    "fused-decode",
)


def generation(kind: str, task: Task) -> Any:
    kv_cache = "without" not in kind
    if "plain" in kind:
        return PlainGeneration(task.model, task.new, kv_cache)
    if kind == "fused-decode":
        return FusedDecodeGeneration(task.model, task.prompt, task.new, 1, wrap=Captures(record).wrap)
    return STATIC[kv_cache](
        task.model, task.prompt, task.new, 1, wrap=Captures(record).wrap if "captured" in kind else None
    )


def traced(made: Any, prompt: torch.Tensor, tokens: list[int]) -> TokenTrace:
    tracer = Tracer([tokens])
    made(prompt, tracer=tracer)
    return tracer.traces[0]


def assert_close(ours: TokenTrace, theirs: TokenTrace) -> None:
    assert ours.token_ids == theirs.token_ids
    torch.testing.assert_close(torch.tensor(ours.sample), torch.tensor(theirs.sample), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.tensor(ours.followed), torch.tensor(theirs.followed), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[no_tape] * ("captured" in kind)) for kind in KINDS])
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(task=tasks)
def test_every_way_of_generating_gives_the_logits_of_one_pass(kind: str, task: Task) -> None:
    prompt = task.prompts()[:1]
    made = generation(kind, task)
    alibi = ConstantAlibi(task.model, made.mask) if "captured" in kind else None
    try:
        for _ in range(3):  # in the third round every step is a replay
            own = made(prompt)[0].tolist()
        others = [(token + 1) % 97 for token in own]  # none of them the likeliest: it is led, it does not choose
        for tokens in (own, others):
            trace = traced(made, prompt, tokens)
            assert_close(trace, trace_of_one_pass(task.model, prompt[0].tolist(), tokens, "cpu"))
        assert [ids[0] for ids in traced(made, prompt, own).likeliest] == own
        assert made(prompt)[0].tolist() == own, "a trace leaves nothing behind"
    finally:
        if alibi is not None:
            alibi.remove()


def test_logits_that_are_no_numbers_are_an_error() -> None:
    for bad in (float("nan"), float("inf")):
        logits = torch.zeros(10)
        logits[7] = bad
        with pytest.raises(NotNumbersError, match="step 1"):
            Tracer([[1]]).take(logits[None])
