"""A small BLOOM, a small Llama and a small Mixtral, measured and then quantized by unmodified neural-compressor-pt;
prints, as JSON, how far the FP8 logits are from those in bfloat16, and what both generate.

argv: a directory to write measurements to.
"""

import functools
import json
import sys

import torch

torch.set_num_threads(1)

from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi  # noqa: E402

adapt_transformers_to_gaudi()

import habana_frameworks.torch.core as htcore  # noqa: E402
import habana_frameworks.torch.hpu as hpu  # noqa: E402
from generating import PROMPT, configured, generate  # noqa: E402
from neural_compressor.torch.quantization import FP8Config, convert, finalize_calibration, prepare  # noqa: E402
from transformers import AutoModelForCausalLM, BloomConfig, LlamaConfig, MixtralConfig  # noqa: E402

SIZES = {"hidden_size": 128, "vocab_size": 1000, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
GROUPED = {
    **{"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 256},
    "initializer_range": 0.1,
}
CONFIGURATIONS = {
    "bloom": BloomConfig(n_layer=2, n_head=8, initializer_range=0.1, **SIZES),
    "llama": LlamaConfig(**GROUPED, **SIZES),
    "mixtral": MixtralConfig(num_local_experts=4, num_experts_per_tok=2, sliding_window=None, **GROUPED, **SIZES),
}


def made(family):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGURATIONS[family], torch_dtype=torch.bfloat16).eval().to("hpu")
    return configured(model, 20)


def logits(model):
    ids = torch.tensor(PROMPT, device="hpu")
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float().cpu()


def settings(directory, family, **more):
    return FP8Config(dump_stats_path=f"{directory}/{family}", **more)


def quantized(directory, family, scale_method):
    measured = prepare(made(family), settings(directory, family, observer="maxabs"))
    generate(measured, False)
    finalize_calibration(measured)
    model = made(family)
    model = convert(model, settings(directory, family, scale_method=scale_method))
    htcore.hpu_initialize(model, mark_only_scales_as_const=True)
    return model


def unlike_the_hosts(model):
    """How far the quantized layers are from torch.float8 on the host with the same scales, at most."""
    apart = []

    def compare(layer, inputs, output):
        scale = torch.tensor(layer.quant_input.scale_inv, dtype=torch.bfloat16)
        product = narrowed(inputs[0].cpu() * scale) @ layer.weight.cpu().float()
        expected = (product * (layer.scale_input * layer.scale_weight)).to(torch.bfloat16)
        expected = expected + (0 if layer.bias is None else layer.bias.cpu())
        apart.append((output.cpu() - expected).abs().max().item())

    modules = dict(model.named_modules())
    layers = {n: m for n, m in modules.items() if type(m).__name__ == "PatchedLinear" and ".experts." not in n}
    mixtures = [m for m in modules.values() if hasattr(m, "dynamic_moe_op")]
    hooks = [layer.register_forward_hook(compare) for layer in layers.values()]
    for mixture in mixtures:
        mixture.dynamic_moe_op = functools.partial(compared, mixture.dynamic_moe_op, apart)
    logits(model)
    for hook in hooks:
        hook.remove()
    for mixture in mixtures:
        mixture.dynamic_moe_op = mixture.dynamic_moe_op.args[0]
    assert len(apart) == len(layers) + len(mixtures), (len(apart), len(layers), len(mixtures))
    return max(apart)


def compared(operator, apart, **given):
    """A mixture of experts in FP8, and how far it is from one on the host."""
    output = operator(**given)
    hidden = given["hidden_states"].cpu().float() * given["d_scale_hidden_states"]
    expected = torch.zeros(hidden.shape)
    for expert in range(len(given["w1"])):
        one, two, three = (given[f"w{i}"][expert].cpu().float() * given[f"d_scale_w{i}"][expert] for i in (1, 2, 3))
        scale = given["d_scale_intermediate_hidden_states"][expert]
        for token, place in (given["expert_routing_table"].cpu() == expert).nonzero().tolist():
            between = torch.nn.functional.silu(hidden[token] @ one) * (hidden[token] @ two)
            share = given["router_weights"][token, place].item()
            expected[token] += share * (narrowed(between / scale) * scale @ three)
    apart.append((output.cpu() - expected.to(torch.bfloat16)).abs().max().item())
    return output


def narrowed(wide):
    return wide.clamp(-240, 240).to(torch.float8_e4m3fn).float()


def main():
    directory = sys.argv[1]
    found = {}
    for family in CONFIGURATIONS:
        wide = made(family)
        reference, plain = logits(wide), generate(wide, False)
        model = quantized(directory, family, "maxabs_hw")
        distance = (logits(model) - reference).std() / reference.std()
        types = sorted({str(t.dtype) for t in [*model.parameters(), *model.buffers()] if t.dim() > 1})
        unlike = unlike_the_hosts(model)
        eager = generate(model, False)
        replayed = generate(hpu.wrap_in_hpu_graph(model), True)
        found[family] = {
            "distance": distance.item(), "unlike": unlike, "types": types, "bfloat16": plain, "eager": eager,
            "graphs": replayed,
            "modules": sorted({type(m).__name__ for m in model.modules()}),
        }  # fmt: skip
    print("RESULTS " + json.dumps(found))


main()
