"""Mixture of experts: each token goes through the experts that the router chose, and their results are weighted."""

import torch

from .registry import operator

_ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "relu": torch.nn.functional.relu,
    "silu": torch.nn.functional.silu,
}


def _experts(hidden_states, routing, weights, w12, w3, permuted, activation, first, last):
    """The sum over the experts, and the largest magnitude between the two products of each expert."""
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
        result.index_add_(0, tokens, ((between @ outer) * weights[tokens, place, None]).to(result.dtype))
    return result, largest


_INPUTS = "(Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, "
_OPTIONS = "Tensor[] w3, bool permuted_weights, str activation, int experts_min, int experts_max"


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
