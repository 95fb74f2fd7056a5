"""Mixture of experts: each token goes through the experts that the router chose, and their results are weighted."""

import torch

from .fp8 import check_generation, to_fp8
from .registry import operator

_ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "relu": torch.nn.functional.relu,
    "silu": torch.nn.functional.silu,
}


def _experts(hidden_states, routing, weights, inner, outer, permuted, activation, first, last, narrowed=None):
    """The sum over the experts, and the largest magnitude between the two products of each expert.

    ``inner`` and ``outer`` give the weights of an expert that some token goes to, counted from 0; ``narrowed`` is what
    FP8 makes of the numbers between its products.
    """
    if activation not in _ACTIVATIONS:
        raise RuntimeError(f'Activation "{activation}" not found among MoeActivationMode_t enum values.')
    result = torch.zeros_like(hidden_states)
    largest = torch.zeros(last - first + 1, dtype=torch.float32)
    for expert in range(last - first + 1):
        tokens, place = torch.where(routing == first + expert)
        if not len(tokens):
            continue
        wide, narrow = inner(expert), outer(expert)
        if permuted:
            wide, narrow = wide.t(), narrow.t()
        up, gate = (hidden_states[tokens] @ wide).chunk(2, dim=-1)
        between = _ACTIVATIONS[activation](up) * gate
        largest[expert] = between.abs().amax().float()
        if narrowed is not None:
            between = narrowed(expert, between)
        result.index_add_(0, tokens, ((between @ narrow) * weights[tokens, place, None]).to(result.dtype))
    return result, largest


_INPUTS = "(Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, "
_LAST = "bool permuted_weights, str activation, int experts_min, int experts_max"
_OPTIONS = f"Tensor[] w3, {_LAST}"


def _fused(w1, w2, permuted):
    return lambda expert: torch.cat((w1[expert], w2[expert]), dim=0 if permuted else 1)


@operator(f"mixture_of_experts{_INPUTS}Tensor[] w1, Tensor[] w2, {_OPTIONS}) -> Tensor")
def mixture(hidden_states, routing, weights, w1, w2, w3, permuted, *options):
    inner = _fused(w1, w2, permuted)
    return _experts(hidden_states, routing, weights, inner, w3.__getitem__, permuted, *options)[0]


@operator(f"mixture_of_experts.fused_weights{_INPUTS}Tensor[] w12, {_OPTIONS}) -> Tensor")
def mixture_fused(hidden_states, routing, weights, w12, w3, *options):
    return _experts(hidden_states, routing, weights, w12.__getitem__, w3.__getitem__, *options)[0]


@operator(
    f"mixture_of_experts.fp8_measurement{_INPUTS}Tensor[] w1, Tensor[] w2, {_OPTIONS}, bool measurement_mode)"
    " -> (Tensor, Tensor)"
)
def measure(hidden_states, routing, weights, w1, w2, w3, permuted, activation, first, last, measurement_mode):
    inner = _fused(w1, w2, permuted)
    return _experts(hidden_states, routing, weights, inner, w3.__getitem__, permuted, activation, first, last)


@operator(
    f"mixture_of_experts.fp8_measurement_fused_weights{_INPUTS}Tensor[] w12, {_OPTIONS}, bool measurement_mode)"
    " -> (Tensor, Tensor)"
)
def measure_fused(hidden_states, routing, weights, w12, w3, *options):
    return _experts(hidden_states, routing, weights, w12.__getitem__, w3.__getitem__, *options[:-1])


_FORMS = (
    ("", "Tensor", "Tensor d_scale_hidden_states, Tensor[] d_scale_intermediate_hidden_states, "),
    ("_scalars", "float", "float d_scale_hidden_states, float[] d_scale_intermediate_hidden_states, "),
)
"""Names, types of scales, and the first scales of the FP8 forms, which are newer than v1.19.0."""


@operator(
    *(
        f"mixture_of_experts.fp8{name}{_INPUTS}Tensor[] w1, Tensor[] w2, Tensor[] w3, {scales}{kind}[] d_scale_w1,"
        f" {kind}[] d_scale_w2, {kind}[] d_scale_w3, {_LAST}) -> Tensor"
        for name, kind, scales in _FORMS
    )
)
def mixture_fp8(hidden, routing, weights, w1, w2, w3, scale, between, scales_w1, scales_w2, scales_w3, *options):
    permuted = options[0]

    def inner(expert):
        return torch.cat([_wide(w, s, permuted)(expert) for w, s in ((w1, scales_w1), (w2, scales_w2))], 1 - permuted)

    return _fp8(hidden, routing, weights, inner, w3, scale, between, scales_w3, options)


@operator(
    *(
        f"mixture_of_experts.fp8_fused_weights{name}{_INPUTS}Tensor[] w12, Tensor[] w3, {scales}{kind}[] d_scale_w12,"
        f" {kind}[] d_scale_w3, {_LAST}) -> Tensor"
        for name, kind, scales in _FORMS
    )
)
def mixture_fp8_fused(hidden, routing, weights, w12, w3, scale, between, scales_w12, scales_w3, *options):
    inner = _wide(w12, scales_w12, options[0])
    return _fp8(hidden, routing, weights, inner, w3, scale, between, scales_w3, options)


def _fp8(hidden_states, routing, weights, inner, w3, scale_hidden, scales_between, scales_w3, options):
    """FP8 numbers times their scales, in float32; what lies between the products is rounded to FP8, too."""
    check_generation()

    def narrowed(expert, between):
        scale = torch.as_tensor(scales_between[expert]).float()
        return to_fp8(between / scale, w3[expert].dtype).float() * scale

    wide, outer = hidden_states.float() * scale_hidden, _wide(w3, scales_w3, options[0])
    return _experts(wide, routing, weights, inner, outer, *options, narrowed)[0].to(torch.bfloat16)


def _wide(weights, scales, permuted):
    """Weights times their scales; those of channels belong to the outputs, which are the rows of permuted weights."""

    def of(expert):
        scale = torch.as_tensor(scales[expert]).float()
        return weights[expert].float() * (scale.reshape(-1, 1) if permuted and scale.numel() > 1 else scale)

    return of
