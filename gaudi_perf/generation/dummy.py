"""Dummy weights: cheap, deterministic, and lively enough that the generated tokens vary."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, BloomConfig, BloomForCausalLM

from gaudi_perf.vocabulary.models import Shape
from gaudi_perf.vocabulary.workload import Dtype

_BLOCK = 1_000_003
"""Random numbers that are drawn; a prime, so that the rows of a matrix do not repeat."""
_ROWS = 256
"""Rows of a slice that are made at once."""
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
    values = DummyValues(shape, seed, device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            whole = tuple(parameter.shape)
            if parameter.dim() > 1:
                values.tile(name, whole, parameter.view(-1))
            else:
                parameter.copy_(values.slice(name, whole, (0, whole[0]), (0, whole[0])))
    return model.eval()


class DummyValues:
    """The made-up values, whole or in slices: a rank of several makes its own only."""

    def __init__(self, shape: Shape, seed: int = 0, device: str = "cpu") -> None:
        """Draws the random block.

        Args:
            shape: the model's shape.
            seed: another seed gives other weights and tokens.
            device: where the values are made from it.
        """
        self._layers = shape.layers
        self._block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed)).to(device)

    def slice(self, name: str, whole: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int]) -> torch.Tensor:
        """Part of a weight, in float32.

        Args:
            name: as in ``BloomForCausalLM``.
            whole: the shape of the whole weight.
            rows: from and to; of a vector, its elements.
            columns: from and to; not looked at for a vector.
        """
        count = rows[1] - rows[0]
        if len(whole) == 1:
            if name.endswith("ln_f.weight"):
                # The output head is the embedding: without random signs, the likeliest token is always the last one.
                return self._block[-whole[0] :].sign()[rows[0] : rows[1]]
            # layer norms are neutral, biases are zero
            return torch.full((count,), 1.0 if name.endswith("weight") else 0.0, device=self._block.device)
        width = columns[1] - columns[0]
        block = self._scaled(name, whole[-1])
        part = torch.empty(count, width, device=block.device)
        if width == whole[-1]:
            _tile(part.view(-1), block, rows[0] * width)
            return part
        across = torch.arange(*columns, device=block.device)
        for begin in range(0, count, _ROWS):
            down = torch.arange(rows[0] + begin, rows[0] + min(begin + _ROWS, count), device=block.device)[:, None]
            part[begin : begin + _ROWS] = block[(down * whole[-1] + across) % len(block)]
        return part

    def tile(self, name: str, whole: tuple[int, ...], flat: torch.Tensor) -> None:
        """Fill a whole matrix, given as a flat tensor of any dtype."""
        _tile(flat, self._scaled(name, whole[-1]), 0)

    def _scaled(self, name: str, width: int) -> torch.Tensor:
        return self._block * (_gain(name, self._layers) / width**0.5)


def _gain(name: str, layers: int) -> float:
    if "embeddings" in name or "lm_head" in name:
        return 1.0
    begins = "query_key_value" in name or "dense_h_to_4h" in name
    return _GAIN if begins else _ADDED / layers**0.5


def _tile(flat: torch.Tensor, block: torch.Tensor, offset: int) -> None:
    """Fill a tensor with a block, again and again, as if the tiling had begun ``offset`` elements before it."""
    block = block.to(flat.dtype)
    begin = 0
    while begin < flat.numel():
        within = (offset + begin) % len(block)
        count = min(len(block) - within, flat.numel() - begin)
        flat[begin : begin + count].copy_(block[within : within + count])
        begin += count
