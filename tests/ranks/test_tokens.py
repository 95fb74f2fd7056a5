"""Several ranks give the tokens of one process, in float32."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from transformers import BloomForCausalLM

from gaudi_perf import protocol
from gaudi_perf.generation.dummy import dummy_model
from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.protocol import Weights
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.workload import PROMPT
from gaudi_perf.workers.controller.group import WorkerGroup
from tests.accelerators.test_weights import write_tokenizer
from tests.ranks.conftest import MakeGroup, prepare, processes_of, rounds
from tests.shapes import bloom

TWELVE = bloom(hidden_size=192, layers=2, heads=12, vocabulary=1000)
TWO = bloom(hidden_size=192, layers=2, heads=2, vocabulary=1000)
NEW_TOKENS = 12
WORDS = ["Deep", "Speed", *PROMPT.replace("DeepSpeed", "It").split(" is ")[:1], PROMPT[9:]]


@pytest.fixture(scope="module")
def twelve_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BLOOM of twelve heads in several safetensors files, with a tokenizer."""
    return files_of(TWELVE, tmp_path_factory.mktemp("weights") / "twelve")


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of two heads: one for each of two ranks."""
    return files_of(TWO, tmp_path_factory.mktemp("weights") / "two")


def files_of(shape: Architecture, directory: Path) -> Path:
    dummy_model(shape, "float32").save_pretrained(directory, max_shard_size="1MB")
    assert len(list(directory.glob("*.safetensors"))) > 1
    write_tokenizer(directory, WORDS)
    return directory


def expected(model: Any, prompt: list[int]) -> list[int]:
    generation = PlainGeneration(model.eval(), NEW_TOKENS, kv_cache=True)
    tokens: list[int] = generation(torch.tensor([prompt]))[0].tolist()
    assert len(set(tokens)) > NEW_TOKENS / 4, "tokens that repeat prove nothing"
    return tokens


Variants = list[tuple[bool, bool]]  # graphs, KV cache


@pytest.mark.parametrize(
    ("engine", "made_up", "of_twelve_heads", "of_two_heads", "of_others"),
    [
        ("cpu", [(False, True)], [(False, False), (True, True)], [(False, True)], [(False, True)]),
        (
            "emulated-gaudi2",
            [(False, True), (True, False)],
            [(True, True), (False, False)],
            [(True, True)],
            [(True, True)],
        ),
    ],
)
def test_two_ranks(
    make_group: MakeGroup,
    twelve_heads: Path,
    two_heads: Path,
    tmp_path: Path,
    engine: str,
    made_up: Variants,
    of_twelve_heads: Variants,
    of_two_heads: Variants,
    of_others: Variants,
) -> None:
    group = make_group(2, engine)
    group.start()
    loaded = group.load()
    tokens = expected(dummy_model(shipped_model("bloomz7b").standin, "float32"), loaded.prompt_ids)
    same_tokens_in(group, made_up, tokens)
    alone = group.ask(protocol.PassesAlone(count=3), protocol.PassesAloneDone, phase="ranks by themselves")
    assert [len(passes) for passes in alone.rank_passes_s] == [3, 3]
    assert rounds(group).token_ids == tokens, "the ranks speak to each other again"

    # The same ranks with weights of files, which are read once: they are gone before the variants are prepared.
    for directory, variants in ((twelve_heads, of_twelve_heads), (two_heads, of_two_heads)):
        weights = Weights(kind="path", path=str(shutil.copytree(directory, tmp_path / "weights")))
        request = protocol.Load(group=replace(group.spec, weights=weights))
        prompt = group.ask(request, protocol.Loaded, phase="load").prompt_ids
        shutil.rmtree(weights.path)
        same_tokens_in(group, variants, expected(BloomForCausalLM.from_pretrained(directory), prompt))

    # Other families are cut elsewhere: grouped queries, experts, one matrix for queries, keys and values.
    for name in ("llama3.1-8b", "mixtral-8x7b", "falcon-40b"):
        request = protocol.Load(group=replace(group.spec, model=name))
        prompt = group.ask(request, protocol.Loaded, phase="load").prompt_ids
        same_tokens_in(group, of_others, expected(dummy_model(shipped_model(name).standin, "float32"), prompt))

    settings = loaded.stack.settings
    assert settings["world-size"] == "2" and settings["backend"] == ("gloo" if engine == "cpu" else "hccl")
    assert {"launch", "imports", "communication"} <= {name.removeprefix("start: ") for name in group.phases_s}
    # Ranks talk over the loopback interface only.
    for rank in processes_of(group, "gaudi_perf.workers.rank.rank"):
        listening = [c.laddr.ip for c in rank.net_connections("inet") if c.status == "LISTEN"]
        assert listening and all(address in ("127.0.0.1", "::1") for address in listening)


def same_tokens_in(group: WorkerGroup, variants: Variants, tokens: list[int]) -> None:
    for graphs, kv_cache in variants:
        prepare(group, graphs, kv_cache, NEW_TOKENS)
        first = rounds(group, 1, "warm-up")
        done = rounds(group, 2)
        assert first.token_ids == done.token_ids == tokens, (graphs, kv_cache)
        assert done.problems == [] and done.same_tokens
        assert done.rank_latencies_s is not None and len(done.rank_latencies_s) == group.spec.devices
        assert done.latencies_s == [max(latencies) for latencies in zip(*done.rank_latencies_s, strict=True)]


def test_four_ranks_with_weights_from_files_of_twelve_heads(make_group: MakeGroup, twelve_heads: Path) -> None:
    group = make_group(4, weights=Weights(kind="path", path=str(twelve_heads)))
    group.start()
    prompt = group.load().prompt_ids
    tokens = expected(BloomForCausalLM.from_pretrained(twelve_heads), prompt)
    for kv_cache in (True, False):
        prepare(group, False, kv_cache, NEW_TOKENS)
        assert rounds(group).token_ids == tokens


def test_slopes_of_other_heads_give_other_tokens(twelve_heads: Path) -> None:
    """The control of the tests above: alibi that two ranks make for six heads each is seen in the tokens."""
    model = BloomForCausalLM.from_pretrained(twelve_heads)
    prompt = [5, 6, 7, 8, 9, 10, 11]
    right = expected(model, prompt)
    build = model.transformer.build_alibi_tensor

    @functools.wraps(build)
    def wrong(attention_mask: torch.Tensor, num_heads: int, dtype: torch.dtype) -> torch.Tensor:
        return build(attention_mask, num_heads // 2, dtype).repeat(2, 1, 1)

    model.transformer.build_alibi_tensor = wrong
    assert expected(model, prompt) != right


def test_eight_ranks_start_generate_and_stop(make_group: MakeGroup) -> None:
    group = make_group(8)
    group.start()
    prompt = group.load().prompt_ids
    prepare(group, new_tokens=NEW_TOKENS)
    done = rounds(group)
    assert done.token_ids == expected(dummy_model(shipped_model("bloomz7b").standin, "float32"), prompt)
    assert done.rank_latencies_s is not None and len(done.rank_latencies_s) == 8
