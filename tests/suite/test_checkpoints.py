"""A checkpoint that is no BLOOM, in several files, measured from its directory with real weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from gaudi_perf.stores.results import read_runs
from gaudi_perf.vocabulary.workload import PROMPT
from tests.accelerators.test_weights import write_tokenizer
from tests.suite.conftest import Suite

NEW = 12


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_gives_the_tokens_of_generate(suite: Suite, tmp_path: Path, tied: bool) -> None:
    directory = tmp_path / "My-Llama"
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_key_value_heads": 4}
    tokens = {"vocab_size": 1000, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    config = LlamaConfig(**sizes, **tokens, num_attention_heads=8, tie_word_embeddings=tied, initializer_range=0.5)
    LlamaForCausalLM(config).save_pretrained(directory, max_shard_size="200KB")
    assert len(list(directory.glob("*.safetensors"))) > 2
    write_tokenizer(directory, ["Deep", "Speed", *PROMPT.replace("DeepSpeed", "It").split(" is ")[:1], PROMPT[9:]])

    asked = ["--model", str(directory), "--weights", str(directory), "--scale", "full", "--dtype", "float32"]
    done = suite(*asked, "--new-tokens", str(NEW), "--rounds", "3", "--benchmark-disable", "-k", "1x-eager")
    runs = {run.case.configuration.id: run for run in read_runs(done.results).runs}
    assert sorted(runs) == ["my-llama-1x-eager-kvcache", "my-llama-1x-eager-nocache"], done.output

    model, tokenizer = AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)
    prompt = tokenizer(PROMPT, return_tensors="pt").input_ids
    greedy = {"do_sample": False, "max_new_tokens": NEW, "eos_token_id": -1}
    expected = model.generate(prompt, attention_mask=torch.ones_like(prompt), **greedy)[0, prompt.shape[1] :].tolist()
    assert len(expected) == NEW and len(set(expected)) > 4
    for run in runs.values():
        assert run.measurement.token_ids == expected and run.measurement.problems == []
        assert run.case.weights == "path:My-Llama" and run.built is not None and run.built.tied is tied
