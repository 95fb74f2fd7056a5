"""Configurations of others: only known keys of known families, in range; and the rule by which a stand-in is made."""

from __future__ import annotations

from typing import Any

import pytest

from gaudi_perf.vocabulary.architectures import architecture_of, standin_of
from gaudi_perf.vocabulary.configuration import case_id_in, configuration_of
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.families import families
from gaudi_perf.vocabulary.models import shipped

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "architectures": ["LlamaForCausalLM"],
    "transformers_version": "4.55.0",
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1: it takes a whole number from 1 to 1000"),
        ({"num_hidden_layers": 100_000}, "num_hidden_layers is 100000"),
        ({"num_hidden_layers": None}, "lacks num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"hidden_size": 4096.5}, "hidden_size is 4096.5"),
        ({"hidden_size": "4096"}, "hidden_size is '4096'"),
        ({"hidden_size": 4095}, "hidden_size 4095 does not divide by 32 heads"),
        ({"num_attention_heads": None}, "lacks num_attention_heads"),
        ({"num_key_value_heads": 5}, "32 heads do not divide by 5 heads of keys and values"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan: it takes a finite number"),
        ({"rope_theta": float("inf")}, "rope_theta is inf"),
        ({"hidden_act": "owner/kernel"}, "hidden_act is 'owner/kernel': it takes a short name"),
        ({"_attn_implementation": "evil/kernel"}, "_attn_implementation is 'evil/kernel', which names code of the hub"),
        (
            {"_attn_implementation_internal": "evil/kernel@main\n"},
            "is 'evil/kernel@main\\n', which names code",
        ),
        ({"rope_scaling": {"rope_type": "../../x"}}, "it takes a short name"),
        ({"rope_scaling": [[[[[[1]]]]]]}, "4 deep"),
        ({"rope_scaling": [1.0] * 3000}, "at most 2000 values"),
        ({"torch_dtype": "int8"}, "torch_dtype is 'int8': weights are measured in bfloat16, float16 or float32"),
        ({"model_type": "gpt5"}, "model_type is 'gpt5': models can be of bloom, codegen"),
        (
            {"model_type": "gpt5", "auto_map": {"AutoConfig": "m.C"}},
            "code of its checkpoint (auto_map), which is",
        ),
        ({"model_type": None}, "model_type is None"),
        ({"model_type": ["llama"]}, "model_type is ['llama']"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as mistake:
        architecture_of({**LLAMA, **changed}, "x/config.json")
    assert str(mistake.value).startswith("x/config.json: ") and words in str(mistake.value)
    assert "\n" not in str(mistake.value) and len(str(mistake.value)) < 600


@pytest.mark.parametrize("fields", [None, [], "llama", 3, {1: 2}])
def test_what_is_no_configuration(fields: object) -> None:
    with pytest.raises(UserError, match="is no configuration of a model"):
        architecture_of(fields, "x")


def test_what_names_code_is_left_out_and_noted() -> None:
    named = {
        "auto_map": {"AutoModelForCausalLM": "modeling.Evil"},
        "trust_remote_code": True,
        "quantization_config": {"quant_method": "unheard-of"},
        "something_else": "whatever",
    }
    architecture, notes = architecture_of({**LLAMA, **named}, "x")
    assert architecture == architecture_of(LLAMA, "x")[0]
    assert not set(named) & set(architecture.configuration)
    assert [note.split(" ")[1] for note in notes] == [
        "auto_map",
        "trust_remote_code",
        "quantization_config",
        "left",
    ]
    assert notes[-1] == "x: left out, since llama is made without them: 'something_else'"
    usual = {"_attn_implementation": "sdpa", "attention_dropout": 0.0, "pad_token_id": 0, "torch_dtype": "bfloat16"}
    assert architecture_of({**LLAMA, **usual}, "x")[1] == []
    many = {f"key{number:02}\n": number for number in range(20)}
    (note,) = architecture_of({**LLAMA, **many}, "x")[1]
    assert note.endswith("'key07\\n' and 12 more")


def test_no_allow_list_has_a_key_that_names_code() -> None:
    for name, family in families().items():
        assert not [key for key in family.keys.split() if key.startswith(("auto", "_attn", "quant", "trust"))], name


def test_other_spellings_of_published_files() -> None:
    published = {"model_type": "bloom", "vocab_size": 250880, "n_embed": 64, "num_attention_heads": 8, "n_layer": 2}
    found = architecture_of(published, "x")[0]
    assert (found.hidden_size, found.heads, found.layers) == (64, 8, 2)


def test_two_of_one_name_are_told_apart() -> None:
    one, other = (architecture_of({**LLAMA, "num_hidden_layers": layers}, "x")[0] for layers in (32, 31))
    assert one.digest != other.digest and len(one.digest) == 8


# The rule is part of what a stored level depends on: whoever changes it changes these.
STANDINS = {
    "bloomz176b": "158c4246",
    "bloomz7b": "4750c09e",
    "bloomz560m": "a612706a",
    "gpt2": "6c3fcbf2",
    "llama3.1-8b": "affa9a9b",
    "mixtral-8x7b": "80157147",
    "falcon-7b": "96cdbf35",
    "gemma2-9b": "2cab6652",
    "mamba-130m": "385d5e5c",
}


@pytest.mark.parametrize("name", STANDINS)
def test_the_rule_of_stand_ins_has_not_changed(name: str) -> None:
    assert shipped()[name].standin.digest == STANDINS[name]


@pytest.mark.parametrize("name", shipped())
def test_stand_ins_keep_what_makes_the_model(name: str) -> None:
    model = shipped()[name]
    full, small = model.full, model.standin
    assert small.heads % 8 == 0 and small.parameters < 1e8 and small.vocabulary == 2048
    assert small.family == full.family and set(small.configuration) == set(full.configuration)
    assert (small.kv_heads == 1) == (full.kv_heads == 1)
    if full.kv_heads > 1 and full.of_family.kind == "attention":
        assert small.heads // small.kv_heads == full.heads // full.kv_heads
    assert bool(small.windows) == bool(full.windows)
    assert (small.experts, small.active_experts) == (full.experts, full.active_experts)
    assert small.tied == full.tied


def test_windows_alternate_in_a_stand_in_too() -> None:
    gemma = shipped()["gemma2-9b"]
    assert len(gemma.full.windows) == 21 and gemma.standin.layers == 2 and gemma.standin.windows == [32]


@pytest.mark.parametrize(("used", "first"), [(True, 0), (False, 28)])
def test_windows_of_qwen2_begin_at_the_first_layer_of_a_stand_in(used: bool, first: int) -> None:
    given = {**LLAMA, "model_type": "qwen2", "max_window_layers": 28, "sliding_window": 64, "use_sliding_window": used}
    assert standin_of(architecture_of(given, "x")[0]).configuration["max_window_layers"] == first


def test_values_of_a_stand_in_can_be_chosen() -> None:
    llama = architecture_of(LLAMA, "x")[0]
    assert standin_of(llama, {"num_hidden_layers": 3}).layers == 3
    with pytest.raises(UserError, match="num_hidden_layers is 0"):
        standin_of(llama, {"num_hidden_layers": 0})


def test_sizes_that_are_published() -> None:
    """Parameters of the model cards; the KV cache by hand: keys and values, layers, heads, width, two bytes."""
    assert shipped()["llama3.1-8b"].full.parameters == 8_030_261_248
    assert shipped()["llama3.1-8b"].full.kept_bytes(1, "bfloat16") == 2 * 32 * 8 * 128 * 2
    assert shipped()["falcon-7b"].full.kept_bytes(1, "bfloat16") == 2 * 32 * 1 * 64 * 2
    assert shipped()["mixtral-8x7b"].full.parameters == 46_702_792_704
    mamba = shipped()["mamba-130m"].full
    state = 24 * 1536 * (16 + 4) * 2  # layers, channels, of the state and the convolution, two bytes
    assert [mamba.kept_bytes(cached, "bfloat16") for cached in (0, 1, 9)] == [0, state, state]


@pytest.mark.parametrize("model", ["bloomz7b", "llama3.1-8b", "mixtral-8x7b", "a", "qwen2.5-7b_x"])
def test_case_ids_of_any_model(model: str) -> None:
    found = configuration_of(f"{model}-8x-graphs-kvcache-fp32-b4-p1024-n256")
    assert found is not None and (found.model, found.devices) == (model, 8)
    assert case_id_in(f"test_latency[{model}-8x-graphs-kvcache-n4]") == f"{model}-8x-graphs-kvcache-n4"
    assert configuration_of(f"{model}-8x-graphs") is None


PUBLISHED = {
    "bloomz176b": 176_247_271_424,
    "bloomz7b": 7_069_016_064,
    "bloomz560m": 559_214_592,
    "gpt2": 124_439_808,
    "llama3.1-8b": 8_030_261_248,
    "llama3.1-70b": 70_553_706_496,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "falcon-40b": 41_303_293_952,
    "falcon-7b": 6_921_720_704,
    "qwen2.5-7b": 7_615_616_512,
    "gemma2-9b": 9_241_705_984,
    "mamba-130m": 129_135_360,
}
"""Weights that the hub counts in the files of each repository, a tied head once."""


@pytest.mark.parametrize("model", shipped())
def test_shapes_of_the_catalogue_have_the_published_number_of_weights(model: str) -> None:
    assert shipped()[model].full.parameters == pytest.approx(PUBLISHED[model], rel=1e-4)


def test_a_token_passes_through_two_experts_of_mixtral() -> None:
    embedding = 32000 * 4096  # of which a step reads a row
    assert shipped()["mixtral-8x7b"].full.weights_read(1) + embedding == pytest.approx(12.88e9, rel=1e-3)
