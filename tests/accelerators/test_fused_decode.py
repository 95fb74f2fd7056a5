"""The fused decode step is BLOOM: it gives the tokens of transformers' generate, and faults in it are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import example, given, settings

from gaudi_perf.generation.dummy import config_of, dummy_model
from gaudi_perf.generation.fused_decode import FusedDecodeGeneration
from gaudi_perf.generation.plain import PlainGeneration
from tests.accelerators.test_generation import VOCABULARY, Task, plain, tasks
from tests.shapes import bloom


@pytest.mark.parametrize("compiling", [False, True])
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(task=tasks)
@example(task=Task(layers=1, heads=1, prompt=1, new=1, batch=1, seed=0))
@example(task=Task(layers=3, heads=12, prompt=12, new=20, batch=3, seed=0))
def test_the_fused_decode_step_gives_the_tokens_of_generate(compiling: bool, task: Task) -> None:
    generation = FusedDecodeGeneration(task.model, task.prompt, task.new, task.batch)
    for round_ in range(2):
        prompts = task.prompts(round_)
        with patch("torch.compiler.is_compiling", lambda: compiling):
            tokens = generation(prompts).tolist()
        assert tokens == plain(task, prompts)


def test_a_compiled_step_adds_biases_after_the_products() -> None:
    products: list[tuple[Any, ...]] = []

    def read(module: Any, inputs: Any) -> Any:
        products.extend(node.args for node in module.graph.nodes if node.target is torch._C._nn.linear)
        return module.forward

    task = Task(layers=1, heads=2, prompt=3, new=4, batch=1, seed=0)
    generation = FusedDecodeGeneration(
        task.model, task.prompt, task.new, wrap=lambda step: torch.compile(step, backend=read, fullgraph=True)
    )
    assert generation(task.prompts()).tolist() == plain(task, task.prompts())
    torch.compiler.reset()
    assert len(products) >= 4, "those of the layer; torch 2.4 writes the head's otherwise"
    assert all(bias is None for _, _, *more in products for bias in more)


def test_biases_and_norms_that_do_something() -> None:
    """Dummy weights have neutral norms and no biases, so they would not notice one that is missing."""
    task = Task(layers=2, heads=4, prompt=5, new=16, batch=2, seed=1)
    model = restless_model(task)
    expected = PlainGeneration(model, task.new, kv_cache=True)(task.prompts()).tolist()
    for compiling in (False, True):
        generation = FusedDecodeGeneration(model, task.prompt, task.new, task.batch)
        with patch("torch.compiler.is_compiling", lambda compiling=compiling: compiling):
            assert generation(task.prompts()).tolist() == expected
    assert expected != plain(task, task.prompts()), "they do something"


def test_residuals_after_the_norm() -> None:
    task = Task(layers=2, heads=4, prompt=5, new=16, batch=2, seed=1)
    model = restless_model(task)
    expected = PlainGeneration(model, task.new, kv_cache=True)(task.prompts()).tolist()
    for block in model.transformer.h:
        block.apply_residual_connection_post_layernorm = True
    other = PlainGeneration(model, task.new, kv_cache=True)(task.prompts()).tolist()
    assert other != expected
    assert FusedDecodeGeneration(model, task.prompt, task.new, task.batch)(task.prompts()).tolist() == other


def restless_model(task: Task) -> Any:
    shape = bloom(hidden_size=8 * task.heads, layers=task.layers, heads=task.heads, vocabulary=VOCABULARY)
    assert config_of(shape).layer_norm_epsilon > 0
    model = dummy_model(shape, "float32", seed=task.seed)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


def _position_off_by_one(generation: Any) -> None:
    generation._positions = [position - 1 for position in generation._positions]


def _bias_of_the_next_head(generation: Any) -> None:
    generation._alibi = generation._alibi.roll(1, dims=0)


def _later_keys_in_sight(generation: Any) -> None:
    generation._keys_at = torch.zeros_like(generation._keys_at)


@pytest.mark.parametrize("plant", [_position_off_by_one, _bias_of_the_next_head, _later_keys_in_sight])
def test_planted_faults_are_seen(plant: Callable[[Any], None]) -> None:
    seen = 0
    for seed in range(8):
        task = Task(layers=2, heads=6, prompt=7, new=16, batch=2, seed=seed)
        expected = plain(task, task.prompts())
        generation = FusedDecodeGeneration(task.model, task.prompt, task.new, task.batch)
        generation(task.prompts(round_=7))  # leaves keys and values of other prompts in the cache
        assert generation(task.prompts()).tolist() == expected
        plant(generation)
        seen += generation(task.prompts()).tolist() != expected
    assert seen >= 4
