"""Dummy weights: the published sizes, the same every time, finite, and lively."""

from __future__ import annotations

import pytest
import torch

from gaudi_perf.generation.dummy import config_of, dummy_model, model_without_memory
from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.workload import FIXED_PROMPT_IDS
from tests.shapes import bloom

# The parameter counts that the hub shows for the three repositories.
PUBLISHED = {"bloomz176b": 176_247_271_424, "bloomz7b": 7_069_016_064, "bloomz560m": 559_214_592}
PROMPT = torch.tensor([FIXED_PROMPT_IDS])


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_have_the_published_parameters(name: str) -> None:
    shape = shipped_model(name).full
    model = model_without_memory(config_of(shape), "bfloat16")
    assert parameters(model) == shape.parameters == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_standins_are_whole_models_whose_heads_divide_by_eight(name: str) -> None:
    shape = shipped_model(name).standin
    model = dummy_model(shape, "bfloat16")
    assert parameters(model) == shape.parameters
    assert shape.heads % 8 == 0 and shape.hidden_size % shape.heads == 0
    assert model.lm_head.weight is model.transformer.word_embeddings.weight
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not model.training


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_tokens_of_standins_vary(name: str, dtype: str) -> None:
    model = dummy_model(shipped_model(name).standin, dtype)  # type: ignore[arg-type]
    (tokens,) = PlainGeneration(model, 30, True)(PROMPT).tolist()
    assert len(set(tokens)) >= 8


def test_weights_are_the_same_every_time_and_others_for_another_seed() -> None:
    shape = shipped_model("bloomz560m").standin
    one, same, other = (dummy_model(shape, "bfloat16", seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


def test_rows_of_a_matrix_differ() -> None:
    weight = dummy_model(bloom(hidden_size=64, layers=1, heads=2, vocabulary=40_000), "float32").lm_head.weight
    assert weight.numel() > 2_000_003, "the random block is used more than once"
    assert len(torch.unique(weight, dim=0)) == len(weight)


@pytest.mark.parametrize("dtype", [pytest.param("bfloat16", marks=pytest.mark.slow), "float16"])
def test_seventy_layers_stay_finite_and_lively(dtype: str) -> None:
    model = dummy_model(bloom(hidden_size=448, layers=70, heads=14, vocabulary=2048), dtype)  # type: ignore[arg-type]
    with torch.inference_mode():
        logits = model(PROMPT).logits
    assert torch.isfinite(logits).all()
    (tokens,) = PlainGeneration(model, 100, True)(PROMPT).tolist()
    assert len(set(tokens)) >= 10
