"""Captured steps give the very tokens of transformers' generate. The capture is a stand-in, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings

from gaudi_perf.accelerators.cuda.capture import WARM_CALLS, Captures, ConstantAlibi
from gaudi_perf.generation.dummy import dummy_model
from gaudi_perf.generation.fused_decode import FusedDecodeGeneration
from gaudi_perf.generation.static import CachedStaticGeneration, UncachedStaticGeneration
from tests.accelerators.lowest import no_tape
from tests.accelerators.tape import record
from tests.accelerators.test_generation import Task, model_of, plain, tasks

ROUNDS = 5
"""The step of the prompt, which runs once a round, is captured in the third."""


@contextmanager
def captured(task: Task, kind: str) -> Iterator[tuple[Any, Captures]]:
    captures = Captures(record)
    sizes = (task.model, task.prompt, task.new, task.batch)
    generation: Any
    if kind == "nocache":
        generation = UncachedStaticGeneration(*sizes, wrap=captures.wrap)
    else:
        cached = FusedDecodeGeneration if kind == "fused-decode" else CachedStaticGeneration
        generation = cached(*sizes, wrap=captures.wrap, wrap_prompt=captures.wrap)
    alibi = ConstantAlibi(task.model, generation.mask)
    try:
        yield generation, captures
    finally:
        alibi.remove()


@no_tape
@pytest.mark.parametrize("kind", ["kvcache", "nocache", "fused-decode"])
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(task=tasks)
@example(task=Task(layers=1, heads=1, prompt=1, new=1, batch=1, seed=0))
@example(task=Task(layers=3, heads=12, prompt=12, new=20, batch=3, seed=0))
def test_captured_generation_gives_the_tokens_of_generate(kind: str, task: Task) -> None:
    expected = [plain(task, task.prompts(round_)) for round_ in range(ROUNDS)]
    with captured(task, kind) as (generation, captures):
        tokens = [generation(task.prompts(round_)).tolist() for round_ in range(ROUNDS)]
    assert tokens == expected
    steps = task.new if kind == "nocache" else task.new - 1
    prompts = 0 if kind == "nocache" else 1
    assert captures.count == prompts + int(steps * ROUNDS > WARM_CALLS)
    assert plain(task, task.prompts()) == expected[0], "the model makes its own position bias again"


def test_a_capture_computes_nothing_and_each_replay_takes_new_inputs() -> None:
    state = torch.zeros(1)

    def step(value: torch.Tensor) -> torch.Tensor:
        state.add_(value)
        return state * 10

    captures = Captures(record)
    wrapped = captures.wrap(step)
    results = [float(wrapped(torch.tensor([float(value)]))) for value in (1, 2, 3, 4, 5)]
    assert results == [10, 30, 60, 100, 150], "every call counts once, whether it runs, captures or replays"
    assert captures.count == 1 and captures.seconds > 0


def test_a_step_that_asks_the_host_cannot_be_captured() -> None:
    """The stand-in refuses what CUDA refuses, so the tests above say something."""

    def reads_back(value: torch.Tensor) -> torch.Tensor:
        return value * 2 if bool(value > 0) else value

    def brings_numbers(value: torch.Tensor) -> torch.Tensor:
        return value * torch.tensor(2.0)

    for step in (reads_back, brings_numbers):
        wrapped = Captures(record).wrap(step)
        for _ in range(WARM_CALLS):
            assert float(wrapped(torch.ones(()))) == 2
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            wrapped(torch.ones(()))


def test_the_position_bias_of_transformers_4_cannot_be_captured() -> None:
    """Why there is ConstantAlibi: if this fails, transformers makes the bias without the host, and it can go."""
    task = Task(layers=1, heads=4, prompt=3, new=6, batch=1, seed=0)
    captures = Captures(record)
    generation = CachedStaticGeneration(task.model, task.prompt, task.new, wrap=captures.wrap)
    import transformers

    if not transformers.__version__.startswith("4."):
        pytest.skip(f"transformers {transformers.__version__} makes it of other numbers")
    with pytest.raises(RuntimeError, match="lift_fresh"):
        generation(task.prompts())


def test_the_bias_of_other_lengths_is_the_model_s_own() -> None:
    task = Task(layers=1, heads=3, prompt=3, new=6, batch=1, seed=0)
    alibi = ConstantAlibi(task.model, torch.ones(1, 99, dtype=torch.long))
    try:
        in_force = plain(task, task.prompts())
    finally:
        alibi.remove()
    assert in_force == plain(task, task.prompts())


def test_dummy_weights_are_made_where_they_are_asked_for() -> None:
    shape = Task(layers=1, heads=2, prompt=1, new=1, batch=1, seed=3)
    there = dummy_model(shape_of(shape), "float32", seed=3, device="meta")
    assert {parameter.device.type for parameter in there.parameters()} == {"meta"}
    here = model_of(1, 2, 3)
    assert [p.shape for p in here.parameters()] == [p.shape for p in there.parameters()]


def shape_of(task: Task) -> Any:
    from tests.shapes import bloom

    return bloom(hidden_size=8 * task.heads, layers=task.layers, heads=task.heads, vocabulary=97)
