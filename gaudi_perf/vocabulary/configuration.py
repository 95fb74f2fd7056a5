"""Configurations and cases: what is measured."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.documents import Document, Name, PositiveInt
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.workload import Workload

Accelerator = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}\Z")]
"""The kind of accelerator: hpu, cuda, cpu, or that of another package's accelerator."""
WeightsKind = Literal["dummy", "hub", "path"]


class Configuration(Document, frozen=True):
    """A model, on a number of devices, with graphs or eager, with the KV cache or without.

    ``graphs`` means HPU graphs, CUDA graphs, or the static-shape compiled path on the CPU.
    """

    model: Name
    devices: PositiveInt
    graphs: bool
    kv_cache: bool

    @property
    def id(self) -> str:
        """The case id, for instance ``bloomz7b-8x-graphs-kvcache``."""
        return "-".join(
            (
                self.model,
                f"{self.devices}x",
                "graphs" if self.graphs else "eager",
                "kvcache" if self.kv_cache else "nocache",
            )
        )


class Case(Document, frozen=True):
    """A configuration on an accelerator with a workload: one test.

    Attributes:
        weights: ``dummy``, ``hub``, or ``path:NAME`` with the last component of the path.
    """

    configuration: Configuration
    accelerator: Accelerator
    workload: Workload
    scale: Scale
    weights: Name = "dummy"

    @property
    def id(self) -> str:
        """The id of the configuration, which is what tests and baselines are called by."""
        return self.configuration.id
