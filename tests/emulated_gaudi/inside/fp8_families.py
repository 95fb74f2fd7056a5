"""Small models of several families in FP8, by the settings of the suite; prints, as JSON, how many of their layers are
quantized, and what they generate with a cache.

argv: a directory to write measurements to.
"""

import json
import sys

import torch

torch.set_num_threads(1)

from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi  # noqa: E402

adapt_transformers_to_gaudi()

from generating import configured, generate  # noqa: E402
from neural_compressor.torch.quantization import FP8Config, convert, finalize_calibration, prepare  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
)

from gaudi_perf.accelerators.hpu.accelerator import FP8_CACHES  # noqa: E402
from gaudi_perf.accelerators.hpu.fp8 import settings_for  # noqa: E402

IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, "vocab_size": 1000, "initializer_range": 0.1}
SIZES = {
    **{"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4},
    **{"intermediate_size": 256, **IDS},
}
CONFIGURATIONS = {
    "llama": LlamaConfig(**SIZES),
    "mistral": MistralConfig(sliding_window=None, **SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(head_dim=16, **SIZES),
    "gemma": GemmaConfig(head_dim=16, **SIZES),
    "gemma2": Gemma2Config(head_dim=16, **SIZES),
    "gemma3_text": Gemma3TextConfig(head_dim=16, **SIZES),
    "phi": PhiConfig(**{**SIZES, "num_key_value_heads": 8}),
    "gptj": GPTJConfig(n_embd=128, n_layer=2, n_head=8, rotary_dim=8, **IDS),
    "gpt_neox": GPTNeoXConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=8, intermediate_size=256, **IDS
    ),
    "falcon": FalconConfig(
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=16,
        num_kv_heads=8,
        new_decoder_architecture=True,
        **IDS,
    ),
}


def made(family):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGURATIONS[family], torch_dtype=torch.bfloat16).eval().to("hpu")
    return configured(model, 8)


def quantized(family, dtype):
    settings = {"dump_stats_path": f"{sys.argv[1]}/{family}-{dtype}", **settings_for(dtype, family)}
    model = prepare(made(family), FP8Config(mode="MEASURE", **settings))
    generate(model, False)
    finalize_calibration(model)
    return convert(made(family), FP8Config(mode="QUANTIZE", **settings))


def count(model, kind):
    return sum(type(module).__name__ == kind for module in model.modules())


found = {}
for family in CONFIGURATIONS:
    model = quantized(family, "fp8")
    found[family] = {
        "linears": count(model, "PatchedLinear"),
        "tokens": generate(model, False),
        "head": type(model.get_output_embeddings()).__name__,
    }
    if family in FP8_CACHES:
        model = quantized(family, "fp8kv")
        found[family]["tokens-fp8kv"] = generate(model, False)
        found[family]["caches"] = count(model, "PatchedKVCache")
print("RESULTS " + json.dumps(found))
