"""The models: published shapes, and the smaller shapes that stand in for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from gaudi_perf.vocabulary.documents import Document, Name, PositiveInt
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import BYTES_PER_ELEMENT, Dtype

Scale = Literal["standin", "full"]
SCALES: tuple[Scale, ...] = ("standin", "full")


class Shape(Document, frozen=True):
    """The shape of a BLOOM model; the embedding (``vocabulary`` rows) is tied to the output head."""

    hidden_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    vocabulary: PositiveInt = 250880

    @property
    def parameters(self) -> int:
        """Number of parameters of ``BloomForCausalLM``, the tied head counted once.

        A block has ``12 h^2 + 13 h``: the fused query, key, value (``3h^2 + 3h``), the attention output
        (``h^2 + h``), the two matrices of the MLP (``8h^2 + 5h``) and two layer norms (``4h``). Around the blocks are
        the embedding (``V h``), its layer norm and the last one (``4h``).
        """
        h = self.hidden_size
        return self.layers * (12 * h * h + 13 * h) + self.vocabulary * h + 4 * h

    def weight_bytes(self, dtype: Dtype) -> int:
        """Bytes of all weights in ``dtype``."""
        return self.parameters * BYTES_PER_ELEMENT[dtype]

    def kv_bytes_per_token(self, dtype: Dtype) -> int:
        """Bytes that the KV cache keeps for one token: a key and a value of ``hidden_size`` in every layer."""
        return 2 * self.layers * self.hidden_size * BYTES_PER_ELEMENT[dtype]


class Model(Document, frozen=True):
    """A model of the suite: its published shape, and one for machines without an accelerator (heads divide by 8)."""

    name: Name
    title: Name
    hub_id: Name
    shape: Shape
    standin: Shape
    on_by_default: bool = True

    def shape_at(self, scale: Scale) -> Shape:
        """The shape that is measured at a scale."""
        return self.shape if scale == "full" else self.standin


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        model.name: model
        for model in (
            # Published shapes: the config.json of each repository on the hub.
            Model(
                name="bloomz176b",
                title="BLOOMZ",
                hub_id="bigscience/bloomz",
                shape=Shape(hidden_size=14336, layers=70, heads=112),
                standin=Shape(hidden_size=512, layers=6, heads=16, vocabulary=2048),
            ),
            Model(
                name="bloomz7b",
                title="BLOOMZ-7B",
                hub_id="bigscience/bloomz-7b1",
                shape=Shape(hidden_size=4096, layers=30, heads=32),
                standin=Shape(hidden_size=256, layers=3, heads=8, vocabulary=2048),
            ),
            Model(
                name="bloomz560m",
                title="BLOOMZ-560M",
                hub_id="bigscience/bloomz-560m",
                shape=Shape(hidden_size=1024, layers=24, heads=16),
                standin=Shape(hidden_size=128, layers=2, heads=8, vocabulary=2048),
                on_by_default=False,
            ),
        )
    }
)
"""All models by name."""


def model_named(name: str) -> Model:
    """The model of that name; ``UserError`` lists those there are."""
    try:
        return MODELS[name]
    except KeyError:
        raise UserError(f"unknown model {name!r}: the models are {', '.join(MODELS)}") from None
