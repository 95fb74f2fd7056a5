"""Configurations and cases, with their ids: what is measured."""

from __future__ import annotations

import re
from typing import Literal, get_args

from msgspec import UNSET, UnsetType

from gaudi_perf.vocabulary.documents import Document, Name, PositiveInt, Slug
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions
from gaudi_perf.vocabulary.models import MODEL_NAME, Scale
from gaudi_perf.vocabulary.workload import Workload, fields_of

Accelerator = Slug
"""The kind of accelerator: hpu, cuda, cpu, or that of another package's accelerator."""
WeightsKind = Literal["dummy", "hub", "path"]

Mode = Literal["graphs", "eager", "compile"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Configuration(Document, frozen=True, omit_defaults=True):
    """A model, on a number of devices, with graphs (HPU graphs, CUDA graphs, or the static-shape compiled path on the
    CPU), by torch.compile in their place (``compiled``), or eager; with the KV cache or without.
    """

    model: Name
    devices: PositiveInt
    graphs: bool
    kv_cache: bool
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.graphs and self.compiled:
            raise ValueError("compiled stands in place of graphs: set graphs to false")

    @classmethod
    def of(cls, model: str, devices: int, mode: Mode, kv_cache: bool) -> Configuration:
        """The configuration of a mode."""
        graphs, compiled = mode == "graphs", mode == "compile"
        return cls(model=model, devices=devices, graphs=graphs, kv_cache=kv_cache, compiled=compiled)

    @property
    def mode(self) -> Mode:
        """How the model is executed."""
        return "graphs" if self.graphs else "compile" if self.compiled else "eager"

    @property
    def static(self) -> bool:
        """Whether steps have fixed shapes, since they are captured or compiled."""
        return self.graphs or self.compiled

    @property
    def id(self) -> str:
        """The case id, for instance ``bloomz7b-8x-graphs-kvcache``."""
        return f"{self.model}-{self.devices}x-{self.mode}-{'kvcache' if self.kv_cache else 'nocache'}"


class Case(Document, frozen=True):
    """A configuration on an accelerator with a workload: one test. Weights are ``dummy``, ``hub``, or ``path:NAME``
    with the last component of the path.

    ``architecture`` is the digest of what the model was made of, so that two of one name are not compared; not set for
    BLOOMZ, whose name says it. ``gaudi_options`` are those in effect on a Gaudi; not set where there are none.
    """

    configuration: Configuration
    accelerator: Accelerator
    workload: Workload
    scale: Scale
    weights: Name = "dummy"
    architecture: str | UnsetType = UNSET
    gaudi_options: GaudiOptions | UnsetType = UNSET

    @property
    def id(self) -> str:
        """What tests, baselines and reports call it, for instance ``bloomz7b-8x-graphs-kvcache-b4-n256``: scale,
        weights and options are not in it, and of the workload only what is not the default: compare whole cases.
        """
        return "-".join((self.configuration.id, *self.workload.differing))

    @property
    def made_of(self) -> str:
        """The weights, and that the shapes are a stand-in's, for people."""
        return self.weights if self.scale == "full" else f"{self.weights}, stand-in shapes"

    @property
    def options(self) -> str:
        """Its options on a Gaudi in words; empty if there are none."""
        return self.gaudi_options.words if self.gaudi_options else ""

    @property
    def key(self) -> tuple[str, ...]:
        """The whole case as texts, by which cases are sorted."""
        workload = self.workload
        sizes = (f"{size:06d}" for size in (workload.new_tokens, workload.batch_size, workload.prompt_tokens))
        made_of = self.scale, self.weights, str(self.architecture or ""), self.options, workload.dtype
        return (self.configuration.id, *made_of, *sizes, *workload.differing, *workload.prompts)


_CASE_ID = re.compile(
    rf"(?P<model>{MODEL_NAME}?)-(?P<devices>[1-9][0-9]{{0,5}})x-(?P<mode>{'|'.join(MODES)})-(?P<cache>kv|no)cache"
    r"(?P<workload>(-(fp16|fp32|fp8kv|fp8|[bpn][1-9][0-9]{0,8}|beams[1-9][0-9]?|contrastive0[.][0-9]{1,9}k[1-9][0-9]{0,3}|"
    r"prompt[0-9a-f]{8}))*)"
)
_IN_NAME = re.compile(r"\[([^][]{1,200})\]\Z")


def configuration_of(case_id: str) -> Configuration | None:
    """The configuration of a case id like ``bloomz7b-8x-graphs-kvcache-n4``; None if it is none."""
    match = _CASE_ID.fullmatch(case_id)
    if match is None:
        return None
    return Configuration.of(match["model"], int(match["devices"]), match["mode"], match["cache"] == "kv")  # type: ignore[arg-type]


def workload_of(case_id: str) -> dict[str, object]:
    """The fields of a workload that a case id names, other than a prompt, of which an id has only a digest."""
    match = _CASE_ID.fullmatch(case_id)
    return fields_of((match["workload"] if match else "").split("-"))


def case_id_in(name: str) -> str:
    """The case id that a test's name like ``test_generation[bloomz7b-8x-graphs-kvcache]`` has in its brackets, or is;
    empty if anything else stands there, too: it could be part of the workload.
    """
    match = _IN_NAME.search(name)
    text = match.group(1) if match else name
    return text if len(text) <= 200 and _CASE_ID.fullmatch(text) else ""
