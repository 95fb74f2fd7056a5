"""Every family that needs no code of a checkpoint: its weights are counted, and static shapes give plain tokens."""

from __future__ import annotations

import pytest
import torch

from gaudi_perf.accelerators.torch_engine import padded
from gaudi_perf.generation.dummy import config_of, dummy_model, model_without_memory
from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.generation.static import kind_of
from gaudi_perf.vocabulary.architectures import standin_of
from gaudi_perf.vocabulary.families import families
from gaudi_perf.vocabulary.models import shipped_model
from tests.accelerators.lowest import no_window
from tests.shapes import published

PROMPT = torch.tensor([[365, 265, 263, 361, 357, 364, 300], [370, 270, 268, 366, 362, 369, 305]])
NEW = 27
"""With the prompt more than the 32 positions of a stand-in's window."""


@pytest.mark.parametrize("family", families())
def test_weights_are_counted_without_the_model(family: str) -> None:
    for built in (published(family), standin_of(published(family))):
        model = model_without_memory(config_of(built), "bfloat16")
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        assert built.parameters == pytest.approx(sum(one.numel() for one in model.parameters()), rel=0.001)
        assert built.tied == (model.get_input_embeddings().weight is model.get_output_embeddings().weight)


ALL = {
    **{family: standin_of(published(family)) for family in families()},
    "one head of keys": shipped_model("falcon-7b").at("standin"),
}


FAST = ("bloom", "gpt2", "llama", "gemma2", "mamba", "one head of keys")


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(one, marks=[*[pytest.mark.slow] * (one not in FAST), *[no_window] * (one == "gemma2")])
        for one in ALL
    ],
)
def test_static_shapes_give_the_tokens_of_plain_transformers(family: str) -> None:
    built = ALL[family]
    model = dummy_model(built, "float32")
    expected = PlainGeneration(model, NEW, True)(PROMPT).tolist()
    assert len(set(expected[0])) > 4, "lively"
    assert PlainGeneration(model, NEW, False)(PROMPT).tolist() == expected
    for kv_cache in (False,) if built.of_family.no_static_cache else (True, False):
        generation = kind_of(model, kv_cache)(model, PROMPT.shape[1], NEW, len(PROMPT))
        generation(PROMPT)  # leaves the cache and the buffers as a round leaves them
        assert generation(PROMPT).tolist() == expected, kv_cache


@pytest.mark.parametrize("family", ["bloom", "gpt2", "opt", "llama", "gemma2", "mamba"])
def test_padded_rows_are_completed_as_if_alone(family: str) -> None:
    """Alibi, learned and rotary positions, windows, states: what is padded on the left does not count."""
    model = dummy_model(standin_of(published(family)), "float32")
    rows = [PROMPT[0].tolist(), PROMPT[1, :3].tolist()]
    expected = [PlainGeneration(model, NEW, True)(torch.tensor([row]))[0].tolist() for row in rows]
    ids, mask = padded(rows, 2, 11, model.config.pad_token_id, "cpu")
    assert PlainGeneration(model, NEW, True)(ids, mask=mask).tolist() == expected
    for kv_cache in (True, False):
        generation = kind_of(model, kv_cache)(model, 11, NEW, 2)
        for _ in range(2):
            assert generation(ids, mask=mask).tolist() == expected, kv_cache
