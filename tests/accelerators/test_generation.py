"""Generation with static shapes gives the very tokens of transformers' generate: it is the same work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BloomForCausalLM, GenerationMixin
from transformers.models.bloom import modeling_bloom

from gaudi_perf.generation.dummy import dummy_model
from gaudi_perf.generation.plain import PlainGeneration, StepTicker
from gaudi_perf.generation.static import CachedStaticGeneration, UncachedStaticGeneration
from gaudi_perf.vocabulary.errors import UserError
from tests.shapes import bloom

VOCABULARY = 97
STATIC: dict[bool, Any] = {True: CachedStaticGeneration, False: UncachedStaticGeneration}
HEADS = (1, 2, 3, 4, 5, 6, 8, 12)


@dataclass(frozen=True)
class Task:
    """What is generated, with what."""

    layers: int
    heads: int
    prompt: int
    new: int
    batch: int
    seed: int

    @property
    def model(self) -> BloomForCausalLM:
        return model_of(self.layers, self.heads, self.seed)

    def prompts(self, round_: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1000 * round_ + self.seed)
        return torch.randint(0, VOCABULARY, (self.batch, self.prompt), generator=generator)


@functools.cache
def model_of(layers: int, heads: int, seed: int) -> BloomForCausalLM:
    shape = bloom(hidden_size=8 * heads, layers=layers, heads=heads, vocabulary=VOCABULARY)
    return dummy_model(shape, "float32", seed=seed)


tasks = st.builds(
    Task,
    layers=st.integers(1, 3),
    heads=st.sampled_from(HEADS),
    prompt=st.integers(1, 12),
    new=st.integers(1, 20),
    batch=st.integers(1, 3),
    seed=st.integers(0, 3),
)


def plain(task: Task, prompts: torch.Tensor, kv_cache: bool = True) -> list[list[int]]:
    return PlainGeneration(task.model, task.new, kv_cache)(prompts).tolist()  # type: ignore[no-any-return]


def static(task: Task, kv_cache: bool, **more: Any) -> Any:
    return STATIC[kv_cache](task.model, task.prompt, task.new, task.batch, **more)


# Derandomized: two tokens of which either could be the next are rare, and no reason for a test to fail once a year.
@pytest.mark.parametrize("kv_cache", [True, False], ids=["kvcache", "nocache"])
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(task=tasks)
@example(task=Task(layers=1, heads=1, prompt=1, new=1, batch=1, seed=0))
@example(task=Task(layers=3, heads=12, prompt=12, new=20, batch=3, seed=0))
def test_static_generation_gives_the_tokens_of_generate(kv_cache: bool, task: Task) -> None:
    generation = static(task, kv_cache)
    for round_ in range(2):  # the second finds the cache and the buffers as the first has left them
        prompts = task.prompts(round_)
        tokens = generation(prompts).tolist()
        assert tokens == plain(task, prompts)
        assert tokens == plain(task, prompts, kv_cache=False)
        assert [len(row) for row in tokens] == [task.new] * task.batch


@pytest.mark.parametrize("search", [{"num_beams": 4}, {"penalty_alpha": 0.6, "top_k": 4}])
def test_searches_are_those_of_transformers_and_end_at_no_token(search: dict[str, Any]) -> None:
    task = Task(layers=2, heads=4, prompt=6, new=12, batch=3, seed=1)
    prompts, mask = task.prompts(), torch.ones_like(task.prompts())
    mask[0, :2] = 0
    steps: list[None] = []
    found = PlainGeneration(task.model, task.new, True, search)(prompts, lambda: steps.append(None), mask).tolist()
    model = dummy_model(bloom(hidden_size=32, layers=2, heads=4, vocabulary=VOCABULARY), "float32", seed=1)
    model.generation_config.eos_token_id = None
    given = {"input_ids": prompts, "attention_mask": mask, "do_sample": False, "max_new_tokens": task.new}
    assert found == model.generate(**given, **search)[:, task.prompt :].tolist()
    assert found != model.generate(**given)[:, task.prompt :].tolist() and len(steps) == task.new
    if "num_beams" in search:
        assert PlainGeneration(task.model, task.new, False, search)(prompts, mask=mask).tolist() == found


def test_a_search_of_several_rows_goes_on_after_each_step() -> None:
    """optimum-habana, whose first criterion is a plain truth value, then asks for the truth of all."""
    ticks: list[None] = []
    ends = StepTicker(lambda: ticks.append(None))(torch.ones(3, 4, dtype=torch.long), torch.ones(3, 5))
    assert not (False | ends) and len(ticks) == 1


def test_contrastive_search_that_is_code_of_the_hub_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(GenerationMixin, "_contrastive_search")
    with pytest.raises(UserError, match="code of the hub only, which is never run"):
        PlainGeneration(model_of(1, 1, 0), 2, True, {"penalty_alpha": 0.6, "top_k": 4})


def test_each_sequence_of_a_batch_is_as_if_alone() -> None:
    task = Task(layers=2, heads=3, prompt=5, new=12, batch=3, seed=1)
    prompts = task.prompts()
    alone = [plain(task, row[None])[0] for row in prompts]
    assert len({tuple(row) for row in alone}) == 3
    assert static(task, True)(prompts).tolist() == alone
    assert static(task, False)(prompts).tolist() == alone


def test_the_token_of_the_end_neither_ends_nor_is_forbidden() -> None:
    task = Task(layers=2, heads=4, prompt=4, new=11, batch=2, seed=2)
    expected = plain(task, task.prompts())
    model = dummy_model(bloom(hidden_size=32, layers=2, heads=4, vocabulary=VOCABULARY), "float32", seed=2)
    model.config.eos_token_id = model.generation_config.eos_token_id = expected[0][3]
    for kv_cache in (True, False):
        assert PlainGeneration(model, task.new, kv_cache)(task.prompts()).tolist() == expected
        assert STATIC[kv_cache](model, task.prompt, task.new, task.batch)(task.prompts()).tolist() == expected


@pytest.mark.parametrize("new", [1, 2, 9])
@pytest.mark.parametrize("kind", ["plain", "plain without cache", "static", "static without cache"])
def test_on_token_is_called_for_every_token_and_changes_none(kind: str, new: int) -> None:
    task = Task(layers=1, heads=3, prompt=4, new=new, batch=2, seed=0)
    kv_cache = "without" not in kind
    generation = static(task, kv_cache) if "static" in kind else PlainGeneration(task.model, new, kv_cache)
    calls: list[int] = []
    with_calls = generation(task.prompts(), lambda: calls.append(1)).tolist()
    assert len(calls) == new
    assert with_calls == generation(task.prompts()).tolist()
    assert len(calls) == new


# ---- the comparison sees faults: each of these makes tokens differ


def _alibi_of_the_next_head(task: Task, patch: pytest.MonkeyPatch) -> Any:
    generation = static(task, True)
    right = task.model.transformer.build_alibi_tensor

    def wrong(mask: torch.Tensor, heads: int, dtype: torch.dtype) -> torch.Tensor:
        return right(mask, heads, dtype).roll(1, dims=0)

    patch.setattr(task.model.transformer, "build_alibi_tensor", wrong)
    return generation


def _alibi_of_the_position_before(task: Task, patch: pytest.MonkeyPatch) -> Any:
    generation = static(task, False)
    right = task.model.transformer.build_alibi_tensor

    def wrong(mask: torch.Tensor, heads: int, dtype: torch.dtype) -> torch.Tensor:
        return right(mask, heads, dtype).roll(1, dims=-1)

    patch.setattr(task.model.transformer, "build_alibi_tensor", wrong)
    return generation


def _position_off_by_one(task: Task, patch: pytest.MonkeyPatch) -> Any:
    generation = static(task, True)
    patch.setattr(generation, "_positions", [position - 1 for position in generation._positions])
    for layer in generation._cache.layers:
        if hasattr(layer, "cumulative_length"):  # transformers 5 counts positions itself
            patch.setattr(layer, "update", _one_before(layer))
    return generation


def _one_before(layer: Any) -> Callable[..., Any]:
    right = layer.update

    def wrong(keys: torch.Tensor, *arguments: Any) -> Any:
        back = 1 if keys.shape[2] == 1 else 0
        layer.cumulative_length.sub_(back)
        lines = right(keys, *arguments)
        layer.cumulative_length.add_(back)
        return lines

    return wrong


def _stale_line(task: Task, patch: pytest.MonkeyPatch) -> Any:
    """A line of the cache that keeps what the round before has left."""
    generation = static(task, True)
    generation(task.prompts(round_=7))
    layer = generation._cache.layers[0]
    right = layer.update

    def wrong(keys: torch.Tensor, values: torch.Tensor, *arguments: Any) -> Any:
        kept = layer.keys[:, :, 3].clone(), layer.values[:, :, 3].clone()
        right(keys, values, *arguments)
        layer.keys[:, :, 3], layer.values[:, :, 3] = kept
        return layer.keys, layer.values

    patch.setattr(layer, "update", wrong)
    return generation


def _later_lines_in_sight(task: Task, patch: pytest.MonkeyPatch) -> Any:
    generation = static(task, True)
    generation(task.prompts(round_=7))
    if hasattr(task.model.transformer, "_update_causal_mask"):
        patch.setattr(task.model.transformer, "_update_causal_mask", lambda *arguments: None)
    else:  # transformers 5
        patch.setattr(modeling_bloom, "create_causal_mask", lambda **arguments: None)
    return generation


def _wrong_row(task: Task, patch: pytest.MonkeyPatch) -> Any:
    generation = static(task, False)
    patch.setattr(generation, "_last", [last - 1 for last in generation._last])
    return generation


@pytest.mark.parametrize(
    "plant",
    [
        _alibi_of_the_next_head,
        _alibi_of_the_position_before,
        _position_off_by_one,
        _stale_line,
        _later_lines_in_sight,
        _wrong_row,
    ],
)
def test_planted_faults_are_seen(plant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    for seed in range(8):  # a small fault need not change the likeliest token every time
        task = Task(layers=2, heads=6, prompt=7, new=16, batch=2, seed=seed)
        expected = plain(task, task.prompts())
        assert static(task, True)(task.prompts()).tolist() == static(task, False)(task.prompts()).tolist() == expected
        with monkeypatch.context() as patch:
            seen += plant(task, patch)(task.prompts()).tolist() != expected
    assert seen >= 4
