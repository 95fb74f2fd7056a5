"""Dummy weights: cheap, deterministic, and lively enough that the generated tokens vary."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, BloomConfig, BloomForCausalLM

from gaudi_perf.vocabulary.models import Shape
from gaudi_perf.vocabulary.workload import Dtype

_BLOCK = 1_000_003
"""Random numbers that are drawn; a prime, so that the rows of a matrix do not repeat."""
_GAIN = 2.5
"""Standard deviation, times the square root of the width, of the matrices that attention and MLP begin with: enough for
attention to tell positions apart."""
_ADDED = 1.0
"""The same of the matrices that they end with, all layers together. Much more and tokens fall into a rut; much less and
they depend on the last token alone."""


def bloom_config(shape: Shape) -> BloomConfig:
    """The configuration of a BLOOM model of a shape; token ids of the published models."""
    return BloomConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        n_layer=shape.layers,
        n_head=shape.heads,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        hidden_dropout=0.0,
        attention_dropout=0.0,
    )


def dummy_model(shape: Shape, dtype: Dtype, seed: int = 0, device: str = "cpu") -> BloomForCausalLM:
    """A BLOOM model whose weights are made up; they are the same on every device.

    Memory is taken once, in the final dtype, and filled with a small random block, tiled: 7 billion normal numbers
    would take minutes.

    Args:
        shape: the model's shape.
        dtype: of all weights.
        seed: another seed gives other weights and tokens.
        device: where the weights are made, without passing through the memory of the host.
    """
    with torch.device("meta"):
        # The class by way of Auto, which optimum-habana may have replaced by its own.
        model = AutoModelForCausalLM.from_config(bloom_config(shape))
    model = model.to(dtype=getattr(torch, dtype)).to_empty(device=device)
    model.tie_weights()
    generator = torch.Generator().manual_seed(seed)
    block = torch.randn(_BLOCK, generator=generator).to(device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                _tile(parameter.view(-1), block * (_gain(name, shape.layers) / parameter.shape[-1] ** 0.5))
            elif name.endswith("ln_f.weight"):
                # The output head is the embedding: without random signs, the likeliest token is always the last one.
                parameter.copy_(block[-parameter.numel() :].sign())
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)  # layer norms are neutral, biases are zero
    return model.eval()


def _gain(name: str, layers: int) -> float:
    if "embeddings" in name or "lm_head" in name:
        return 1.0
    begins = "query_key_value" in name or "dense_h_to_4h" in name
    return _GAIN if begins else _ADDED / layers**0.5


def _tile(flat: torch.Tensor, block: torch.Tensor) -> None:
    block = block.to(flat.dtype)
    for begin in range(0, flat.numel(), block.numel()):
        part = flat[begin : begin + block.numel()]
        part.copy_(block[: part.numel()])
