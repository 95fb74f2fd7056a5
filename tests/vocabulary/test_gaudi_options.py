"""Options on Gaudi: of families, models and sessions; which are in effect; what they make incomparable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.session.settings import Settings
from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.families import families
from gaudi_perf.vocabulary.gaudi_options import OPTIONS, GaudiOptions, parsed_options
from gaudi_perf.vocabulary.models import Model, ModelEntry, shipped, shipped_model
from gaudi_perf.vocabulary.run import differences
from gaudi_perf.vocabulary.workload import Workload
from tests.shapes import published
from tests.stores.factories import make_run

NONE = GaudiOptions()


def model_of(family: str, **own: Any) -> Model:
    built = published(family)
    entry = ModelEntry(configuration={"model_type": family, **built.configuration}, gaudi=GaudiOptions(**own))
    return entry.model("mine", "models.toml")


@pytest.mark.parametrize("family", families())
def test_defaults_of_a_family_are_options_that_it_knows(family: str) -> None:
    known = families()[family].gaudi.split()
    assert set(known) <= set(OPTIONS) and "limit_hpu_graphs" in known
    assert not families()[family].why_no_options(families()[family].gaudi_defaults)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("bloomz7b", ""),
        ("llama3.1-8b", "reuse_cache,trim_logits,attn_softmax_bf16"),
        ("mistral-7b", "reuse_cache"),
        ("falcon-40b", "reuse_cache,use_flash_attention,flash_attention_causal_mask"),
        ("gemma2-9b", "use_flash_attention"),
        ("qwen2.5-7b", ""),
    ],
)
def test_defaults_are_those_of_the_tests_of_optimum_habana(model: str, words: str) -> None:
    assert shipped_model(model).gaudi_options_with(NONE, "x").words == words


def test_a_session_goes_before_a_model_and_that_before_its_family() -> None:
    mine = model_of("llama", bucket_size=128, bucket_internal=True, trim_logits=False)
    assert mine.gaudi_options_with(NONE, "x").words == "reuse_cache,attn_softmax_bf16,bucket_size=128,bucket_internal"
    session = parsed_options("bucket_size=64,reuse_cache=no,trim_logits")
    assert mine.gaudi_options_with(session, "x").words == (
        "trim_logits,attn_softmax_bf16,bucket_size=64,bucket_internal"
    )


def test_details_of_flash_attention_go_with_it() -> None:
    falcon = shipped_model("falcon-40b")
    assert falcon.gaudi_options_with(parsed_options("use_flash_attention=no"), "x").words == "reuse_cache"


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        (
            "bloom",
            "reuse_cache",
            "--gaudi-options: mine is of the architecture bloom: optimum-habana has no reuse_cache for it, but "
            "bucket_size, limit_hpu_graphs: leave reuse_cache out",
        ),
        ("llama", "bucket_internal", "bucket_internal needs a bucket_size: add bucket_size=128"),
        ("llama", "bucket_size=8", "bucket_size with reuse_cache needs bucket_internal: add it, or reuse_cache=no"),
    ],
)
def test_what_a_family_cannot_do_is_one_sentence(family: str, options: str, sentence: str) -> None:
    with pytest.raises(UserError) as mistake:
        model_of(family).gaudi_options_with(parsed_options(options), "--gaudi-options")
    assert str(mistake.value).endswith(sentence)


def test_what_is_switched_off_need_not_be_known() -> None:
    assert model_of("bloom").gaudi_options_with(parsed_options("reuse_cache=no"), "x").words == ""


def test_a_catalogue_that_asks_for_more_than_its_family_has_is_refused() -> None:
    with pytest.raises(UserError, match=r"models.toml: gaudi: mine is .* has no trim_logits for it"):
        model_of("gpt2", trim_logits=True)


@pytest.mark.parametrize(
    "text",
    [
        "reuse",
        "reuse_cache=1",
        "bucket_size",
        "bucket_size=0",
        "bucket_size=x",
        f"bucket_size={'9' * 5000}",
    ],
)
def test_a_text_that_is_no_option(text: str) -> None:
    with pytest.raises(ValueError, match="it takes NAME, NAME=no or bucket_size=N, with commas: reuse_cache, trim"):
        parsed_options(text)


ALL = GaudiOptions(**{name: 128 if name == "bucket_size" else True for name in OPTIONS})


@pytest.mark.parametrize(
    ("where", "off"),
    [
        ({}, set()),
        ({"graphs": False}, {"limit_hpu_graphs"}),
        ({"kv_cache": False}, {"reuse_cache", "bucket_internal", "bucket_size"}),
        ({"dtype": "float32"}, {"attn_softmax_bf16"}),
        ({"padded": True}, {"flash_attention_causal_mask"}),
    ],
)
def test_what_is_in_effect(where: dict[str, Any], off: set[str]) -> None:
    effective = ALL.in_effect(**{"graphs": True, "kv_cache": True, "dtype": "bfloat16", **where})
    assert set(OPTIONS) - set(effective.on) == off
    without_cache = {"graphs": True, "kv_cache": False, "dtype": "bfloat16"}
    assert GaudiOptions(bucket_size=8).in_effect(**without_cache).words == "bucket_size=8"


def settings(name: str, **options: Any) -> Settings:
    here = {"baselines_directory": Path("baselines"), "results_directory": Path("results")}
    return Settings(accelerator=accelerator_named(name), scale="standin", **here, **options)


def test_cases_have_the_options_in_effect_on_gaudi_alone() -> None:
    configuration = Configuration(model="llama3.1-8b", devices=1, graphs=True, kv_cache=True)
    asked = settings("emulated-gaudi2", gaudi_options=parsed_options("limit_hpu_graphs"))
    assert asked.case(configuration).options == "reuse_cache,trim_logits,attn_softmax_bf16,limit_hpu_graphs"
    plain = replace(configuration, graphs=False, kv_cache=False)
    assert asked.case(plain, Workload(dtype="float32")).options == "trim_logits"
    assert asked.case(replace(configuration, model="bloomz7b")).options == "limit_hpu_graphs"
    for case in (
        settings("emulated-gaudi2").case(replace(configuration, model="bloomz7b")),
        settings("cpu", gaudi_options=ALL).case(configuration),
    ):
        assert not case.gaudi_options


def test_prompts_that_are_padded_go_without_a_causal_mask() -> None:
    configuration = Configuration(model="falcon-7b", devices=1, graphs=True, kv_cache=True)
    asked = settings("emulated-gaudi2")
    assert "causal_mask" in asked.case(configuration).options
    assert asked.case(configuration, prompt=("one", "two words")).options == "reuse_cache,use_flash_attention"


def test_runs_with_other_options_are_not_compared() -> None:
    run = make_run()
    other = replace(run, case=replace(run.case, gaudi_options=GaudiOptions(reuse_cache=True, bucket_size=128)))
    assert differences(run.comparability, other.comparability) == ["options '' is not 'reuse_cache,bucket_size=128'"]
    assert run.case.id == other.case.id and run.case.key != other.case.key and hash(other.comparability)


def test_the_catalogue_is_in_order() -> None:
    for model in shipped().values():
        model.gaudi_options_with(NONE, model.name)


def test_an_option_that_is_said_in_two_ways() -> None:
    assert parsed_options("reuse_cache,reuse_cache").on == {"reuse_cache": True}
    with pytest.raises(ValueError, match="reuse_cache twice, and not the same"):
        parsed_options("reuse_cache,reuse_cache=no")
