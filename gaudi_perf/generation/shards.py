"""Weights as shards: the part of every weight that a rank holds, without the whole of it in any process.

How DeepSpeed has cut a module is read off its parameters' shapes: where a dimension is a rank's share of the published
one, the rank takes its slice of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from gaudi_perf.stores.models import checkpoint_files
from gaudi_perf.vocabulary.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Shapes = Mapping[str, tuple[int, ...]]
"""Of whole weights, by their names in the model."""
Read = Callable[[str, tuple[int, ...], tuple[slice, ...]], torch.Tensor]
"""A slice of a weight, by name and shape of the whole one, with a slice for each dimension."""


class Checkpoint(ExitStack):
    """A directory of safetensors files, mapped into memory: what ranks of a host read comes from the disk once."""

    def __init__(self, directory: Path, title: str, model: PreTrainedModel) -> None:
        """Looks for all weights; reads none.

        Args:
            title: what to call the directory in sentences.
            model: not cut yet; its weights must be there in their shapes.

        Raises:
            UserError: the files are not whole, or a weight is missing or has another shape.
        """
        super().__init__()
        self._title = title
        self._prefix = f"{model.base_model_prefix}."
        self._tied = _ties(model)
        self._places: dict[str, Any] = {}
        for path in checkpoint_files(directory, title):
            try:
                file = self.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise UserError(f"--weights: {path.name} of {title} cannot be read ({error}): is it whole?") from None
            self._places.update(dict.fromkeys(file.keys(), file))
        for name, shape in shapes_of(model).items():
            key = self._key(name)
            found = tuple(self._places[key].get_slice(key).get_shape())
            if found != shape:
                raise UserError(
                    f"--weights: {key} of {title} has the shape {list(found)}, not {list(shape)}: is config.json "
                    "that of these weights?"
                )

    def read(self, name: str, whole: tuple[int, ...], part: tuple[slice, ...]) -> torch.Tensor:
        """A slice of a weight, on the host; only its bytes are read."""
        key = self._key(name)
        try:
            return torch.as_tensor(self._places[key].get_slice(key)[part])
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"--weights: {key} of {self._title} cannot be read ({error}): are the files whole?"
            ) from None

    def _key(self, name: str) -> str:
        # Checkpoints of the hub lack the model's first name, those that transformers saves have it.
        for candidate in (name, name.removeprefix(self._prefix)):
            if candidate in self._places:
                return candidate
        if name in self._tied:
            return self._key(self._tied[name])
        raise UserError(f"--weights: {self._title} lacks the weight {name}: is every file there?")


def fill(module: torch.nn.Module, whole: Shapes, rank: int, ranks: int, read: Read) -> None:
    """Give every parameter of a module that DeepSpeed has cut its values, one after the other.

    Args:
        whole: the shapes before.
        rank: whose shards they are, of so many ``ranks``.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            part = []
            for size, of_whole in zip(parameter.shape, whole[name], strict=True):
                if size not in (of_whole, of_whole / ranks):
                    raise RuntimeError(f"{name}: {size} of {of_whole} is no {ranks}th of a dimension")
                begin = 0 if size == of_whole else rank * size
                part.append(slice(begin, begin + size))
            parameter.copy_(read(name, whole[name], tuple(part)).to(parameter.dtype))


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter; of one that has several names (a tied head), once for each: cut differently, they
    are no longer one tensor.
    """
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters(remove_duplicate=False)}


def _ties(model: torch.nn.Module) -> dict[str, str]:
    """The first name of each parameter that has several, by the others."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return {name: first[id(parameter)] for name, parameter in every if first[id(parameter)] != name}
