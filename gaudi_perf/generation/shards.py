"""Weights as shards: the part of every weight that a rank holds, without the whole of it in any process.

How DeepSpeed has cut a module is read off its parameters' shapes: where a dimension is a rank's share of the published
one, the rank takes its slice of it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from gaudi_perf.generation.dummy import DummyValues
from gaudi_perf.vocabulary.errors import UserError

_TIED = {"lm_head.weight": "transformer.word_embeddings.weight"}
"""BLOOM's output head is its embedding; cut differently, the two are no longer one tensor."""


@dataclass(frozen=True)
class Cut:
    """A slice of a weight.

    Attributes:
        name: of the weight, as in ``BloomForCausalLM``.
        shape: of the whole weight.
        dim: which dimension is cut; None if none is.
        begin: where the slice begins in it.
        end: where it ends.
    """

    name: str
    shape: tuple[int, ...]
    dim: int | None = None
    begin: int = 0
    end: int = 0


class WeightSource(ABC):
    """Where slices of weights come from."""

    @abstractmethod
    def read(self, cut: Cut) -> torch.Tensor:
        """A slice, on the host."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""


class DummySource(WeightSource):
    """Made-up values: the slices of what ``dummy_model`` makes."""

    def __init__(self, values: DummyValues) -> None:
        self._values = values

    def read(self, cut: Cut) -> torch.Tensor:
        """A slice."""
        if cut.dim is None:
            rows, columns = (0, cut.shape[0]), (0, cut.shape[-1])
        elif cut.dim == 0:
            rows, columns = (cut.begin, cut.end), (0, cut.shape[-1])
        else:
            rows, columns = (0, cut.shape[0]), (cut.begin, cut.end)
        return self._values.slice(cut.name, cut.shape, rows, columns)

    def close(self) -> None:
        """Nothing is open."""


class CheckpointSource(WeightSource):
    """A directory of safetensors files, mapped into memory: what ranks of a host read comes from the disk once."""

    def __init__(self, directory: Path, title: str) -> None:
        """Looks for all weights; reads none.

        Args:
            title: what to call the directory in sentences.

        Raises:
            UserError: the files are not whole.
        """
        self._title = title
        self._files = ExitStack()
        self._places: dict[str, Any] = {}
        for path in _checkpoint_files(directory, title):
            try:
                file = self._files.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise UserError(f"--weights: {path.name} of {title} cannot be read ({error}): is it whole?") from None
            self._places.update(dict.fromkeys(file.keys(), file))

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """See that every weight is there, in its shape.

        Raises:
            UserError: one is not.
        """
        for name, shape in shapes.items():
            key = self._key(name)
            found = tuple(self._places[key].get_slice(key).get_shape())
            if found != shape:
                raise UserError(
                    f"--weights: {key} of {self._title} has the shape {list(found)}, not {list(shape)}: is config.json "
                    "that of these weights?"
                )

    def read(self, cut: Cut) -> torch.Tensor:
        """A slice; only its bytes are read."""
        key = self._key(cut.name)
        try:
            values = self._places[key].get_slice(key)
            if cut.dim is None:
                return torch.as_tensor(values[:])
            if cut.dim == 0:
                return torch.as_tensor(values[cut.begin : cut.end])
            return torch.as_tensor(values[:, cut.begin : cut.end])
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"--weights: {key} of {self._title} cannot be read ({error}): are the files whole?"
            ) from None

    def close(self) -> None:
        """Close the files."""
        self._places = {}
        self._files.close()

    def _key(self, name: str) -> str:
        # Checkpoints of the hub lack the model's first name, those that transformers saves have it.
        for candidate in (name, name.removeprefix("transformer.")):
            if candidate in self._places:
                return candidate
        if name in _TIED:
            return self._key(_TIED[name])
        raise UserError(f"--weights: {self._title} lacks the weight {name}: is every file there?")


def fill(
    module: torch.nn.Module, whole: Mapping[str, tuple[int, ...]], rank: int, ranks: int, source: WeightSource
) -> None:
    """Give every parameter of a sharded module its values, one after the other.

    Args:
        module: as DeepSpeed has cut it.
        whole: the shape of every parameter before.
        rank: whose shards they are.
        ranks: of how many.
    """
    with torch.no_grad():
        for cut, parameter in cuts(module, whole, rank, ranks):
            parameter.copy_(source.read(cut).to(parameter.dtype))


def cuts(
    module: torch.nn.Module, whole: Mapping[str, tuple[int, ...]], rank: int, ranks: int
) -> Iterator[tuple[Cut, torch.nn.Parameter]]:
    """Every parameter of a sharded module with the slice that it is."""
    for name, parameter in module.named_parameters():
        shape, local = whole[name], tuple(parameter.shape)
        cut = [dim for dim, (all_of_it, part) in enumerate(zip(shape, local, strict=True)) if all_of_it != part]
        if not cut:
            yield Cut(name, shape), parameter
            continue
        (dim,) = cut
        if local[dim] * ranks != shape[dim]:
            raise RuntimeError(f"{name} of shape {shape} was cut to {local}, which is no {ranks}th of it")
        yield Cut(name, shape, dim, rank * local[dim], (rank + 1) * local[dim]), parameter


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, the tied head apart from the embedding."""
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    for name, same in _TIED.items():
        shapes.setdefault(name, shapes[same])
    return shapes


def _checkpoint_files(directory: Path, title: str) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(directory.glob("*.safetensors"))
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"--weights: {index.name} of {title} is no index of weights ({error})") from None
    paths = [directory / Path(str(name)).name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"--weights: {title} lacks {missing[0]} and {len(missing) - 1} more of its files")
    return paths
