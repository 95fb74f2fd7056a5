"""A small BLOOM and a small Llama, measured and then quantized by unmodified neural-compressor-pt; prints, as JSON, how
far the FP8 logits are from those in bfloat16, and what both generate.

argv: a directory to write measurements to.
"""

import json
import sys

import torch

torch.set_num_threads(1)

from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi  # noqa: E402

adapt_transformers_to_gaudi()

import habana_frameworks.torch.core as htcore  # noqa: E402
import habana_frameworks.torch.hpu as hpu  # noqa: E402
from neural_compressor.torch.quantization import FP8Config, convert, finalize_calibration, prepare  # noqa: E402
from transformers import AutoModelForCausalLM, BloomConfig, LlamaConfig  # noqa: E402

PROMPT = torch.tensor([[365, 265, 263, 361, 357, 364, 300]])
SIZES = {"hidden_size": 128, "vocab_size": 1000, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
CONFIGURATIONS = {
    "bloom": BloomConfig(n_layer=2, n_head=8, initializer_range=0.1, **SIZES),
    "llama": LlamaConfig(
        num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, intermediate_size=256,
        initializer_range=0.1, **SIZES,
    ),
}  # fmt: skip
OFF = (
    "trim_logits", "reuse_cache", "limit_hpu_graphs", "bucket_internal", "reduce_recompile", "attn_softmax_bf16",
    "use_flash_attention", "clear_hpu_graphs_cache", "do_sample",
)  # fmt: skip


def made(family):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGURATIONS[family], torch_dtype=torch.bfloat16).eval().to("hpu")
    config = model.generation_config
    config.max_new_tokens, config.use_cache, config.static_shapes, config.bucket_size = 20, True, True, -1
    for name in OFF:
        setattr(config, name, False)
    return model


def logits(model):
    ids = PROMPT.to("hpu")
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float().cpu()


def tokens(model, graphs=False):
    ids = PROMPT.to("hpu")
    return model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=model.generation_config,
        lazy_mode=True,
        hpu_graphs=graphs,
        ignore_eos=True,
    )[0].tolist()


def settings(directory, family, **more):
    return FP8Config(dump_stats_path=f"{directory}/{family}", **more)


def quantized(directory, family, scale_method):
    measured = prepare(made(family), settings(directory, family, observer="maxabs"))
    tokens(measured)
    finalize_calibration(measured)
    model = made(family)
    model = convert(model, settings(directory, family, scale_method=scale_method))
    htcore.hpu_initialize(model, mark_only_scales_as_const=True)
    return model


def unlike_the_hosts(model):
    """How far the quantized linear layers are from torch.float8 on the host with the same scales, at most."""
    apart = []

    def compare(layer, inputs, output):
        scale = torch.tensor(layer.quant_input.scale_inv, dtype=torch.bfloat16)
        narrow = (inputs[0].cpu() * scale).clamp(-240, 240).to(torch.float8_e4m3fn)
        product = narrow.float() @ layer.weight.cpu().float() * (layer.scale_input * layer.scale_weight)
        expected = product.to(torch.bfloat16) + (0 if layer.bias is None else layer.bias.cpu())
        apart.append((output.cpu() - expected).abs().max().item())

    layers = [module for module in model.modules() if type(module).__name__ == "PatchedLinear"]
    hooks = [layer.register_forward_hook(compare) for layer in layers]
    logits(model)
    for hook in hooks:
        hook.remove()
    assert len(apart) == len(layers)
    return max(apart)


def main():
    directory = sys.argv[1]
    found = {}
    for family in CONFIGURATIONS:
        wide = made(family)
        reference, plain = logits(wide), tokens(wide)
        model = quantized(directory, family, "maxabs_hw")
        distance = (logits(model) - reference).std() / reference.std()
        types = sorted({str(t.dtype) for t in [*model.parameters(), *model.buffers()] if t.dim() > 1})
        unlike = unlike_the_hosts(model)
        eager = tokens(model)
        replayed = tokens(hpu.wrap_in_hpu_graph(model), graphs=True)
        found[family] = {
            "distance": distance.item(), "unlike": unlike, "types": types, "bfloat16": plain, "eager": eager,
            "graphs": replayed,
            "modules": sorted({type(m).__name__ for m in model.modules()}),
        }  # fmt: skip
    print("RESULTS " + json.dumps(found))


main()
