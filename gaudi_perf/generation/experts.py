"""Mixture-of-experts layers with fixed shapes, which compiled and captured steps need.

transformers loops over the experts that the tokens chose, so that its steps differ. Here a step with few tokens
gathers the matrices of the chosen experts and reads no others. A step with many tokens computes with all experts, and
weights with 0 those that a token did not choose. The results are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import sigmoid, softmax

_MATRICES = (("w1", "w3", "w2"), ("gate_proj", "up_proj", "down_proj"))
"""What the three of an expert are called: in Mixtral, and in all others."""


class StaticExperts:
    """The experts of a model, in force for as long as ``in_force``; a model without them stays as it is.

    The matrices of a layer's experts are moved into one tensor each, of which the experts' own become views.
    """

    def __init__(self, model: nn.Module) -> None:
        self._replaced: list[tuple[nn.Module, str, Callable[..., Any]]] = []
        for block in model.modules():
            experts = getattr(block, "experts", None)
            if isinstance(experts, nn.ModuleList):
                mixed = _Mixed(experts)
                if hasattr(block, "moe"):  # DeepSeek-V2 routes by itself
                    self._replaced.append((block, "moe", mixed))
                else:
                    self._replaced.append((block, "forward", _routed(block, mixed)))

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Steps take this form from now on; afterwards the model is transformers' again."""
        for block, name, function in self._replaced:
            setattr(block, name, function)
        try:
            yield
        finally:
            for block, name, _ in self._replaced:
                delattr(block, name)


class _Mixed:
    """What the chosen experts of a layer make of the tokens, of shape (tokens, width)."""

    def __init__(self, experts: nn.ModuleList) -> None:
        names = next(names for names in _MATRICES if hasattr(experts[0], names[0]))
        self._gate, self._up, self._down = (_stacked([getattr(one, name) for one in experts]) for name in names)
        self._activation = experts[0].act_fn
        self._group = getattr(getattr(experts[0], names[2]), "mp_group", None)
        if self._group is not None:  # DeepSpeed's: each rank has a part of every expert
            from deepspeed.comm import inference_all_reduce

            self._sum = inference_all_reduce

    def __call__(self, tokens: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """``chosen`` and ``weights``: of each token's experts, (tokens, active experts)."""
        if chosen.numel() < len(self._gate):
            inner = torch.einsum("tw,teiw->tei", tokens, self._gate[chosen])
            inner = self._activation(inner) * torch.einsum("tw,teiw->tei", tokens, self._up[chosen])
            out = torch.einsum("tei,tewi->tew", inner, self._down[chosen])
        else:
            inner = torch.einsum("tw,eiw->tei", tokens, self._gate)
            inner = self._activation(inner) * torch.einsum("tw,eiw->tei", tokens, self._up)
            out = torch.einsum("tei,ewi->tew", inner, self._down)
            weights = weights.new_zeros(out.shape[:2]).scatter(1, chosen, weights)
        mixed = (out.to(weights.dtype) * weights[..., None]).sum(1).to(tokens.dtype)
        if self._group is not None:
            self._sum(mixed, group=self._group)
        return mixed


def _routed(block: Any, mixed: _Mixed) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """The forward pass of a block that chooses by the softmax of its gate, as Mixtral and Qwen do."""

    def forward(hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = hidden_states.view(-1, hidden_states.shape[-1])
        logits = block.gate(tokens)
        weights, chosen = torch.topk(softmax(logits, dim=1, dtype=torch.float), block.top_k, dim=-1)
        if getattr(block, "norm_topk_prob", True):
            weights = weights / weights.sum(-1, keepdim=True)
        result = mixed(tokens, chosen, weights.to(tokens.dtype))
        if hasattr(block, "shared_expert"):
            result = result + sigmoid(block.shared_expert_gate(tokens)) * block.shared_expert(tokens)
        return result.view_as(hidden_states), logits

    return forward


def _stacked(linears: list[nn.Linear]) -> torch.Tensor:
    """The matrices in one tensor; each becomes a view of it, so that they take no more memory than before."""
    stacked = torch.stack([linear.weight.data for linear in linears])
    for linear, part in zip(linears, stacked, strict=True):
        linear.weight.data = part
    return stacked
