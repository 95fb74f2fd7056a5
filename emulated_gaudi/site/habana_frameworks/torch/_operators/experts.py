"""Mixture of experts: each token goes through the experts that the router chose, and their results are weighted."""

import torch

from .fp8 import check_generation, to_fp8
from .registry import operator

_ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "relu": torch.nn.functional.relu,
    "silu": torch.nn.functional.silu,
}


def _experts(hidden_states, routing, weights, w12, w3, permuted, activation, first, last, narrowed=None):
    """The sum over the experts, and the largest magnitude between the two products of each expert.

    ``narrowed``: what FP8 makes of the numbers between the products of an expert, counted from 0.
    """
    if activation not in _ACTIVATIONS:
        raise RuntimeError(f'Activation "{activation}" not found among MoeActivationMode_t enum values.')
    result = torch.zeros_like(hidden_states)
    largest = torch.zeros(len(w3), dtype=torch.float32)
    for number in range(first, last + 1):
        inner, outer = w12[number - first], w3[number - first]
        if permuted:
            inner, outer = inner.t(), outer.t()
        tokens, place = torch.where(routing == number)
        up, gate = (hidden_states[tokens] @ inner).chunk(2, dim=-1)
        between = _ACTIVATIONS[activation](up) * gate
        if between.numel():
            largest[number - first] = between.abs().amax().float()
        if narrowed is not None:
            between = narrowed(number - first, between)
        result.index_add_(0, tokens, ((between @ outer) * weights[tokens, place, None]).to(result.dtype))
    return result, largest


_INPUTS = "(Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, "
_LAST = "bool permuted_weights, str activation, int experts_min, int experts_max"
_OPTIONS = f"Tensor[] w3, {_LAST}"


def _fused(w1, w2, permuted):
    return [torch.cat(pair, dim=0 if permuted else 1) for pair in zip(w1, w2, strict=True)]


@operator(f"mixture_of_experts{_INPUTS}Tensor[] w1, Tensor[] w2, {_OPTIONS}) -> Tensor")
def mixture(hidden_states, routing, weights, w1, w2, w3, permuted, activation, first, last):
    inner = _fused(w1, w2, permuted)
    return _experts(hidden_states, routing, weights, inner, w3, permuted, activation, first, last)[0]


@operator(f"mixture_of_experts.fused_weights{_INPUTS}Tensor[] w12, {_OPTIONS}) -> Tensor")
def mixture_fused(*arguments):
    return _experts(*arguments)[0]


@operator(
    f"mixture_of_experts.fp8_measurement{_INPUTS}Tensor[] w1, Tensor[] w2, {_OPTIONS}, bool measurement_mode)"
    " -> (Tensor, Tensor)"
)
def measure(hidden_states, routing, weights, w1, w2, w3, permuted, activation, first, last, measurement_mode):
    inner = _fused(w1, w2, permuted)
    return _experts(hidden_states, routing, weights, inner, w3, permuted, activation, first, last)


@operator(
    f"mixture_of_experts.fp8_measurement_fused_weights{_INPUTS}Tensor[] w12, {_OPTIONS}, bool measurement_mode)"
    " -> (Tensor, Tensor)"
)
def measure_fused(*arguments):
    return _experts(*arguments[:-1])


_SCALES = {
    "": "Tensor d_scale_hidden_states, Tensor[] d_scale_intermediate_hidden_states, Tensor[] ",
    "_scalars": "float d_scale_hidden_states, float[] d_scale_intermediate_hidden_states, float[] ",
}


def _fp8(hidden_states, routing, weights, inner, w3, scale_hidden, scales_between, scales_w3, options):
    """FP8 numbers times their scales, in float32; what lies between the products is rounded to FP8, too."""
    check_generation()
    permuted = options[0]

    def narrowed(expert, between):
        scale = torch.as_tensor(scales_between[expert]).float()
        return to_fp8(between / scale, w3[expert].dtype).float() * scale

    wide = _wide([hidden_states], [scale_hidden], False)[0]
    outer = _wide(w3, scales_w3, permuted)
    return _experts(wide, routing, weights, inner, outer, *options, narrowed)[0].to(torch.bfloat16)


def _wide(weights, scales, permuted):
    """Weights times their scales; those of channels belong to the outputs, which are the rows of permuted weights."""
    scales = [torch.as_tensor(scale).float() for scale in scales]
    return [
        w.float() * (s.reshape(-1, 1) if permuted and s.numel() > 1 else s)
        for w, s in zip(weights, scales, strict=True)
    ]


@operator(
    *(
        f"mixture_of_experts.fp8{name}{_INPUTS}Tensor[] w1, Tensor[] w2, Tensor[] w3, {scales}d_scale_w1,"
        f" {kind}[] d_scale_w2, {kind}[] d_scale_w3, {_LAST}) -> Tensor"
        for (name, scales), kind in zip(_SCALES.items(), ("Tensor", "float"), strict=True)
    )
)
def mixture_fp8(hidden, routing, weights, w1, w2, w3, scale, between, scales_w1, scales_w2, scales_w3, *options):
    """Newer than v1.19.0, as neural-compressor-pt calls it."""
    inner = _fused(_wide(w1, scales_w1, options[0]), _wide(w2, scales_w2, options[0]), options[0])
    return _fp8(hidden, routing, weights, inner, w3, scale, between, scales_w3, options)


@operator(
    *(
        f"mixture_of_experts.fp8_fused_weights{name}{_INPUTS}Tensor[] w12, Tensor[] w3, {scales}d_scale_w12,"
        f" {kind}[] d_scale_w3, {_LAST}) -> Tensor"
        for (name, scales), kind in zip(_SCALES.items(), ("Tensor", "float"), strict=True)
    )
)
def mixture_fp8_fused(hidden, routing, weights, w12, w3, scale, between, scales_w12, scales_w3, *options):
    inner = _wide(w12, scales_w12, options[0])
    return _fp8(hidden, routing, weights, inner, w3, scale, between, scales_w3, options)
