"""Configurations and cases: what is measured."""

from __future__ import annotations

import re
from typing import Literal

from gaudi_perf.vocabulary.documents import Document, Name, PositiveInt, Slug
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.workload import Workload

Accelerator = Slug
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


_CASE_ID = re.compile(
    r"(?P<model>[a-z0-9]+)-(?P<devices>[1-9][0-9]{0,5})x-(?P<mode>graphs|eager)-(?P<cache>kv|no)cache"
    r"(?P<workload>(-(fp16|fp32|[bpn][1-9][0-9]*|prompt[0-9a-f]{8}))*)"
)


def configuration_of(case_id: str) -> Configuration | None:
    """The configuration of a case id like ``bloomz7b-8x-graphs-kvcache-n4``; None if it is none."""
    match = _CASE_ID.fullmatch(case_id)
    return None if match is None else _configuration(match)


def configuration_in(text: str) -> Configuration | None:
    """The configuration whose id is in a test's name like ``test_generation[bloomz7b-8x-graphs-kvcache]``."""
    match = _CASE_ID.search(text)
    return None if match is None else _configuration(match)


def _configuration(match: re.Match[str]) -> Configuration:
    return Configuration(
        model=match["model"],
        devices=int(match["devices"]),
        graphs=match["mode"] == "graphs",
        kv_cache=match["cache"] == "kv",
    )
