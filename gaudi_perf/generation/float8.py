"""Linear layers in FP8 (float8_e4m3fn), with a scale for each tensor, for accelerators that torch itself serves.

The scales are powers of two, found once: of a weight by its largest magnitude, of an input by the largest one that
calibration prompts led to, four times as much room above it. So a step gives the same in every variant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from gaudi_perf.generation.prompts import prompt_of
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError

E4M3 = torch.float8_e4m3fn
_LARGEST = torch.finfo(E4M3).max
_ROOM = {"weight": 2.0, "input": 4.0}
"""How much larger than what was seen the largest number is at least."""
GRAIN = 16
"""torch._scaled_mm takes matrices whose sides are multiples of it."""

_ROUTER = "gate"
"""How the name of a router ends, which, if rounded, would send tokens to other experts."""

_FARTHEST = 1e9
_TOKENS = 48
_TEXTS = (
    "The harbour was quiet in the morning. Two fishing boats had come back before sunrise, and the crews were sorting "
    "the catch on the pier while the gulls waited on the roofs above them for what would be thrown away.",
    "To compute the mean of a sample, add all of its values and divide the sum by their number. The median is the "
    "value in the middle of the sorted sample; unlike the mean, it hardly moves where one value is very large.",
    "def largest(values):\n    found = values[0]\n    for value in values:\n        if value > found:\n            "
    "found = value\n    return found\n",
    "Question: which metal is liquid at room temperature? Answer: mercury. Question: how many sides has a hexagon? "
    "Answer: six. Question: in which year did the first human land on the Moon? Answer: 1969.",
)

Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Of an input (rows, k) and the transpose of a weight (k, n), both FP8, with a scale each: (rows, n), in bfloat16."""

Kept = dict[str, tuple[type, torch.Tensor, torch.Tensor]]
"""By name, a layer's class, its input and its output."""


def calibration_ids(group: GroupSpec) -> list[list[int]]:
    """Token ids of the calibration prompts: by the tokenizer, or fixed ones for dummy weights."""
    return [prompt_of(group, text, _TOKENS).ids for text in _TEXTS]


def reference_product(
    left: torch.Tensor, right: torch.Tensor, scale_left: torch.Tensor, scale_right: torch.Tensor
) -> torch.Tensor:
    """Summed up in float32: slow, and what others are checked against."""
    return (left.float() @ right.float() * (scale_left * scale_right)).to(torch.bfloat16)


def scaled_product(
    left: torch.Tensor, right: torch.Tensor, scale_left: torch.Tensor, scale_right: torch.Tensor
) -> torch.Tensor:
    """By torch._scaled_mm: the tensor cores of GPUs of compute capability 8.9 and later."""
    return torch._scaled_mm(left, right, scale_a=scale_left, scale_b=scale_right, out_dtype=torch.bfloat16)


class Float8Linear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer whose weight is FP8, and whose input becomes FP8.

    Attributes:
        weight: (out, in), FP8.
        weight_scale: by which it is multiplied, float32; ``input_scale`` the same of the input.
    """

    def __init__(self, linear: torch.nn.Linear, largest_input: float, product: Product) -> None:
        super().__init__()
        self._product, self.bias = product, linear.bias
        weight, device = linear.weight.detach(), linear.weight.device
        scale = _scale_for(float(weight.abs().max()), "weight")
        self.weight = torch.nn.Parameter(_narrowed(weight, scale), requires_grad=False)
        self.register_buffer("weight_scale", torch.tensor(scale, device=device), persistent=False)
        scale = _scale_for(largest_input, "input")
        self.register_buffer("input_scale", torch.tensor(scale, device=device), persistent=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out), both bfloat16."""
        narrow = _narrowed(hidden, self.input_scale).reshape(-1, hidden.shape[-1])
        output = self._product(narrow, self.weight.t(), self.input_scale, self.weight_scale)
        output = output.reshape(*hidden.shape[:-1], -1)
        return output if self.bias is None else output + self.bias


def quantize(model: Any, run: Callable[[], None], product: Product, grain: int = 1) -> None:
    """Replace the linear layers of a model but its head, the routers to experts, and matrices with a side that is no
    multiple of ``grain``. An expert that no token went to takes the largest input of all like it.

    ``run`` passes the model over the calibration prompts, by which the scales of inputs are found.
    """
    head = model.get_output_embeddings()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module is not head
        and not name.endswith(_ROUTER)
        and not any(n % grain for n in module.weight.shape)
    }
    largest = dict.fromkeys(layers, 0.0)

    def look(name: str, module: Any, inputs: Any) -> None:
        largest[name] = max(largest[name], float(inputs[0].abs().max()))

    hooks = [module.register_forward_pre_hook(partial(look, name)) for name, module in layers.items()]
    run()
    for hook in hooks:
        hook.remove()
    for name, module in layers.items():
        parent, _, own = name.rpartition(".")
        seen = largest[name] or max(value for other, value in largest.items() if other.rpartition(".")[2] == own)
        setattr(model.get_submodule(parent), own, Float8Linear(module, seen, product))


@contextmanager
def kept_layers(model: Any) -> Iterator[Kept]:
    """Keeps, on the host, what goes into every linear layer and every mixture of experts, and comes out of it, in the
    first pass that follows.
    """
    kept: Kept = {}

    def keep(name: str, module: Any, inputs: Any, output: Any) -> None:
        kept.setdefault(name, (type(module), inputs[0].detach().cpu(), _first(output).detach().cpu()))

    hooks = [
        module.register_forward_hook(partial(keep, name))
        for name, module in model.named_modules()
        if hasattr(module, "experts")
        or (
            getattr(module, "weight", None) is not None
            and module.weight.dim() == 2
            and "Embedding" not in repr(type(module))
        )
    ]
    yield kept
    for hook in hooks:
        hook.remove()


def worst_layer(model: Any, kept: Kept, device: str) -> tuple[str, float]:
    """The layer of those that were replaced whose output, for the same input, is farthest from what was kept; and how
    far: the root mean square of the difference, as a share of the output's. Of a mixture of experts that of the worst
    token, since only a few go to each expert. No number counts as a billion.
    Raises UserError if no layer was replaced.
    """
    apart = {}
    with torch.inference_mode():
        for name, (kind, hidden, expected) in kept.items():
            module = model.get_submodule(name)
            if type(module) is not kind:
                ours = _first(module(hidden.to(device))).cpu()
                parts = (-1, ours.shape[-1]) if hasattr(module, "experts") else (1, -1)
                ours, expected = ours.float().reshape(parts), expected.float().reshape(parts)
                size = expected.square().mean(1).sqrt().clamp(min=1e-12)
                shares = (ours - expected).square().mean(1).sqrt() / size
                apart[name] = float(shares.nan_to_num(_FARTHEST).clamp(max=_FARTHEST).max())
    if not apart:
        raise UserError("no layer of this model became FP8: its linear layers are of other kinds")
    worst = max(apart, key=apart.__getitem__)
    return worst, apart[worst]


def _first(output: Any) -> torch.Tensor:
    """Of a mixture of experts, what it gives beside the choices of its router."""
    return output[0] if isinstance(output, tuple) else output


def _scale_for(largest: float, what: str) -> float:
    """A power of two; 1 for a tensor of zeros."""
    return 2.0 ** math.ceil(math.log2(largest * _ROOM[what] / _LARGEST)) if largest > 0 else 1.0


def _narrowed(wide: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    return (wide / scale).clamp(-_LARGEST, _LARGEST).to(E4M3)
