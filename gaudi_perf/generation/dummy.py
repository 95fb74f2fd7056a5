"""Dummy weights: cheap, deterministic, and lively enough that the generated tokens vary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.documents import sentence
from gaudi_perf.vocabulary.errors import UserError
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

_STATE = "A_log"
_EMBEDDING = re.compile(r"embed|lm_head|\bwte\b|\bwpe\b")
_ENDING = re.compile(r"\.(dense|dense_4h_to_h|[ocw]_proj|out_proj|down_proj\w*|wo|w2|fc2|fc_out)(\.weight)?$")
"""Of the matrices that attention or MLP end with, whatever they are called."""
_LAST_NORM = re.compile(r"^\w+\.(decoder\.)?(ln_f|norm_f|norm|final_layernorm|final_layer_norm|layer_norm)\.weight$")


def config_of(architecture: Architecture, attention: str | None = None) -> PretrainedConfig:
    """The configuration of transformers for an architecture; ``attention`` is a kind of transformers' (``eager``), or
    None for what transformers takes by default.
    Raises UserError if transformers does not know the family, or refuses the values.
    """
    try:
        config = AutoConfig.for_model(architecture.family, **architecture.configuration, attn_implementation=attention)
    except Exception as error:  # a value that does not fit raises whatever it leads to
        what = f"transformers cannot make a {architecture.family} of this configuration"
        raise UserError(f"{what}: {sentence(error)}") from None
    if config.pad_token_id is None:  # which is masked or never looked at
        config.pad_token_id = 0
    return config


@contextmanager
def without_memory() -> Iterator[None]:
    """Parameters that modules make are on the meta device; their buffers are made, since nobody else knows them."""
    register = torch.nn.Module.register_parameter

    def on_meta(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None and not parameter.is_meta:  # else it is tied to one that is there
            made = torch.nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
            module._parameters[name] = made

    torch.nn.Module.register_parameter = on_meta
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


def model_without_memory(config: PretrainedConfig, dtype: Dtype) -> PreTrainedModel:
    """A model whose parameters have shapes and types, and no memory; the class by way of Auto, which optimum-habana may
    have replaced by its own.
    """
    config.torch_dtype = getattr(torch, dtype)  # where optimum-habana looks when it allocates a KV cache
    with without_memory():
        return AutoModelForCausalLM.from_config(config, torch_dtype=config.torch_dtype).eval()


def dummy_model(
    architecture: Architecture, dtype: Dtype, seed: int = 0, device: str = "cpu", attention: str | None = None
) -> Any:
    """A model whose weights are made up; they are the same on every device. ``attention`` is that of ``config_of``.

    Memory is taken once, on the device and in the final dtype, and filled with a small random block, tiled: 7 billion
    normal numbers would take minutes.
    """
    model = model_without_memory(config_of(architecture, attention), dtype)
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(torch.empty_like(parameter, device=device))
    model.to(device)  # the buffers
    model.tie_weights()
    values = DummyValues(architecture, seed, device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            whole = tuple(parameter.shape)
            if parameter.dim() > 1 and not name.endswith(_STATE):
                _tile(parameter.view(-1), values.scaled(name, whole[-1]), 0)
            else:
                parameter.copy_(values.read(name, whole, tuple(slice(0, size) for size in whole)))
    return model.eval()


class DummyValues:
    """The made-up values in slices: a rank of several makes its own only."""

    def __init__(self, architecture: Architecture, seed: int = 0, device: str = "cpu") -> None:
        self._layers = architecture.layers
        # Gemma's norms multiply by one more than their weights.
        self._neutral = 0.0 if architecture.family.startswith("gemma") else 1.0
        self._block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed)).to(device)

    def read(self, name: str, whole: tuple[int, ...], part: tuple[slice, ...]) -> torch.Tensor:
        """Part of a weight, in float32, by its name in the whole model and the shape of the whole."""
        rows = part[0]
        count = rows.stop - rows.start
        if name.endswith(_STATE):  # S4D-real, as Mamba begins
            return torch.arange(1, whole[1] + 1, device=self._block.device).log().expand(count, -1)
        if len(whole) == 1:
            if _LAST_NORM.match(name):
                # An output head may be the embedding: without random signs, the likeliest token is always the last one.
                return self._block[-whole[0] :].sign()[rows] - (1.0 - self._neutral)
            # norms are neutral, biases are zero, Mamba's D is one
            ones = self._neutral if name.endswith("weight") else float(name.endswith(".D"))
            return torch.full((count,), ones, device=self._block.device)
        block = self.scaled(name, whole[-1])
        width = part[1].stop - part[1].start
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
        gain = _ADDED / self._layers**0.5 if _ENDING.search(name) else _GAIN
        return self._block * ((1.0 if _EMBEDDING.search(name) else gain) / width**0.5)


def _tile(flat: torch.Tensor, block: torch.Tensor, offset: int) -> None:
    """Fill a tensor with a block, again and again, as if the tiling had begun ``offset`` elements before it."""
    block = block.to(flat.dtype)
    begin = 0
    while begin < flat.numel():
        within = (offset + begin) % len(block)
        count = min(len(block) - within, flat.numel() - begin)
        flat[begin : begin + count].copy_(block[within : within + count])
        begin += count
