"""Baselines: runs of cases on a stack, kept for comparison and reviewed by people."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.documents import Document, Name, Seconds, require_finite
from gaudi_perf.vocabulary.measurement import Run, TokenId, require_timestamp
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import Workload

BASELINE_SCHEMA = "gaudi-perf/baseline/1"


class BaselineRun(Document, frozen=True):
    """One run of a case, as a baseline keeps it: every round, not just a mean.

    Attributes:
        run_id: the run that it came from.
        measured_at: when, in UTC.
        latencies_s: the duration of each round.
        probes_s: the duration of the reference probes around each round, if there were any.
    """

    run_id: Name
    measured_at: str
    latencies_s: Annotated[list[Seconds], msgspec.Meta(min_length=1)]
    probes_s: list[Seconds] | None = None
    first_token_s: list[Seconds] = []
    per_output_token_s: list[Seconds] = []
    peak_memory_bytes: int | None = None
    graph_compilation_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse durations that are no numbers, and probes that do not bracket every round."""
        require_timestamp(self.measured_at, "measured_at")
        require_finite(self.latencies_s, "latencies_s")
        if self.probes_s is not None and len(self.probes_s) != len(self.latencies_s):
            raise ValueError(f"probes_s has {len(self.probes_s)} entries for {len(self.latencies_s)} rounds")


class Published(Document, frozen=True):
    """A number from a page; no spread is known.

    Attributes:
        latency_s: the published latency.
        source: what was published where.
        address: the page's address.
        published_on: its date, for instance ``2023-03-28``.
        note: what to know about the number.
    """

    latency_s: Seconds
    source: Name
    address: Name
    published_on: Name
    note: str = ""


class Anchor(Document, frozen=True):
    """The best level ever accepted, kept so that slow ratcheting shows."""

    latency_s: Seconds
    accepted_on: Name


class AcceptedRegression(Document, frozen=True):
    """A slower level that somebody accepted, with the reason.

    Attributes:
        ratio: new level to old level, 1.08 for 8 % slower.
    """

    accepted_on: Name
    ratio: Annotated[float, msgspec.Meta(gt=0)]
    reason: Annotated[str, msgspec.Meta(min_length=1)]


class CaseBaseline(Document, frozen=True):
    """The baseline of one case: either runs that were measured or a number that was published.

    What a comparison requires to be equal stands here: configuration, workload, scale, weights, host class (None for
    published numbers, whose host is not known).
    """

    configuration: Configuration
    workload: Workload
    scale: Scale
    weights: Name
    host_class: str | None
    provenance: Literal["measured", "published"]
    runs: list[BaselineRun] = []
    published: Published | None = None
    token_ids: list[TokenId] = []
    anchor: Anchor | None = None
    accepted_regressions: list[AcceptedRegression] = []

    def __post_init__(self) -> None:
        """Refuse a baseline without evidence, or with evidence of the other kind."""
        if self.provenance == "measured" and (not self.runs or self.published is not None):
            raise ValueError(f"{self.configuration.id}: a measured baseline has runs and no published number")
        if self.provenance == "published" and (self.runs or self.published is None):
            raise ValueError(f"{self.configuration.id}: a published baseline has a published number and no runs")
        ids = [run.run_id for run in self.runs]
        if len(set(ids)) != len(ids):
            raise ValueError(f"{self.configuration.id}: the same run is there twice")

    @property
    def key(self) -> tuple[str, ...]:
        """What tells one entry of a file from another."""
        workload = self.workload
        return (
            self.configuration.id,
            self.scale,
            self.weights,
            workload.dtype,
            f"{workload.new_tokens:06d}",
            f"{workload.batch_size:06d}",
            workload.prompt,
            self.host_class or "",
        )


class Baseline(Document, frozen=True):
    """One file under ``baselines/``: all cases of one stack on one device.

    Its place is ``<device name>/<stack name>.json``.
    """

    device: Device
    stack: Stack
    cases: list[CaseBaseline]
    schema: str = BASELINE_SCHEMA

    def __post_init__(self) -> None:
        """Refuse other schemas and cases that are there twice."""
        if self.schema != BASELINE_SCHEMA:
            raise ValueError(f"schema is {self.schema!r}, and this release reads {BASELINE_SCHEMA!r}")
        keys = [case.key for case in self.cases]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise ValueError(f"case {key[0]} is there twice with the same workload, scale, weights and host class")


def differences(case: CaseBaseline, device: Device, run: Run, baseline_device: Device) -> list[str]:
    """Why a run cannot be compared with a case's baseline: the differing fields in words; empty if it can."""
    pairs: list[tuple[str, object, object]] = [
        ("device", device.name, baseline_device.name),
        ("configuration", run.case.id, case.configuration.id),
        ("scale", run.case.scale, case.scale),
        ("weights", run.case.weights, case.weights),
        ("dtype", run.case.workload.dtype, case.workload.dtype),
        ("new tokens", run.case.workload.new_tokens, case.workload.new_tokens),
        ("batch size", run.case.workload.batch_size, case.workload.batch_size),
        ("prompt", run.case.workload.prompt, case.workload.prompt),
    ]
    if case.host_class is not None:
        pairs.append(("host class", run.host.host_class, case.host_class))
    if case.provenance == "published":
        # The article's numbers are of real weights; latency does not depend on the values.
        pairs = [pair for pair in pairs if pair[0] != "weights"]
    return [f"{field} {ours!r} is not {theirs!r}" for field, ours, theirs in pairs if ours != theirs]
