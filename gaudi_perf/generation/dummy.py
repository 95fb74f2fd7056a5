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
attention to distinguish positions."""
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

    Memory is taken once, on the device and in the final dtype, and filled with a small random block, tiled: 7 billion
    normal numbers would take minutes.
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
                _tile(parameter.view(-1), values.scaled(name, whole[-1]), 0)
            else:
                parameter.copy_(values.read(name, whole, (slice(0, whole[0]),)))
    return model.eval()


class DummyValues:
    """The made-up values in slices: a rank of several makes its own only."""

    def __init__(self, shape: Shape, seed: int = 0, device: str = "cpu") -> None:
        self._layers = shape.layers
        self._block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed)).to(device)

    def read(self, name: str, whole: tuple[int, ...], part: tuple[slice, ...]) -> torch.Tensor:
        """Part of a weight, in float32, by its name in ``BloomForCausalLM`` and the shape of the whole."""
        rows = part[0]
        count = rows.stop - rows.start
        if len(whole) == 1:
            if name.endswith("ln_f.weight"):
                # The output head is the embedding: without random signs, the likeliest token is always the last one.
                return self._block[-whole[0] :].sign()[rows]
            # layer norms are neutral, biases are zero
            return torch.full((count,), 1.0 if name.endswith("weight") else 0.0, device=self._block.device)
        width = part[1].stop - part[1].start
        block = self.scaled(name, whole[-1])
        made = torch.empty(count, width, device=block.device)
        if width == whole[-1]:
            _tile(made.view(-1), block, rows.start * width)
            return made
        across = torch.arange(part[1].start, part[1].stop, device=block.device)
        for begin in range(0, count, _ROWS):
            end = min(begin + _ROWS, count)
            down = torch.arange(rows.start + begin, rows.start + end, device=block.device)[:, None]
            made[begin:end] = block[(down * whole[-1] + across) % len(block)]
        return made

    def scaled(self, name: str, width: int) -> torch.Tensor:
        """The random block with the spread of a matrix that is so wide."""
        if "embeddings" in name or "lm_head" in name:
            gain = 1.0
        elif "query_key_value" in name or "dense_h_to_4h" in name:
            gain = _GAIN
        else:
            gain = _ADDED / self._layers**0.5
        return self._block * (gain / width**0.5)


def _tile(flat: torch.Tensor, block: torch.Tensor, offset: int) -> None:
    """Fill a tensor with a block, again and again, as if the tiling had begun ``offset`` elements before it."""
    block = block.to(flat.dtype)
    begin = 0
    while begin < flat.numel():
        within = (offset + begin) % len(block)
        count = min(len(block) - within, flat.numel() - begin)
        flat[begin : begin + count].copy_(block[within : within + count])
        begin += count
