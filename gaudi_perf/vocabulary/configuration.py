"""Configurations and cases: what is measured."""

from __future__ import annotations

from typing import Literal

from gaudi_perf.vocabulary.documents import Document, Name, PositiveInt
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.workload import Workload

Accelerator = Literal["hpu", "cuda", "cpu"]
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
        """What tests, baselines and reports call it, for instance ``bloomz7b-8x-graphs-kvcache-b4-n256``.

        What is not the default of the workload shows in it; scale and weights do not, and the whole case is what is
        compared.
        """
        return "-".join((self.configuration.id, *self.workload.differing))

    @property
    def key(self) -> tuple[str, ...]:
        """The whole case as texts, by which cases are sorted."""
        workload = self.workload
        return (
            self.configuration.id,
            self.scale,
            self.weights,
            workload.dtype,
            f"{workload.new_tokens:06d}",
            f"{workload.batch_size:06d}",
            f"{workload.prompt_tokens:06d}",
            workload.prompt,
        )
