"""Baselines: runs of cases on a stack, kept for comparison and reviewed by people."""

from __future__ import annotations

import re
from statistics import median
from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.documents import Bytes, Document, Name, Seconds, require_finite
from gaudi_perf.vocabulary.measurement import Run, TokenId, require_timestamp
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import Workload

BASELINE_SCHEMA = "gaudi-perf/baseline/1"

Date = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
"""A day in UTC, like ``2023-03-28``."""


_SESSION = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}\Z")


class BaselineRun(Document, frozen=True):
    """One run of a case, as a baseline keeps it: every round, not just a mean.

    Attributes:
        run_id: the run that it came from.
        measured_at: when, in UTC.
        latencies_s: the duration of each round.
        probes_s: the duration of the reference probes around each round, if there were any.
        earlier_cases: ids of the cases that the worker group measured before, which peak memory depends on; None where
            unknown.
    """

    run_id: Name
    measured_at: str
    latencies_s: Annotated[list[Seconds], msgspec.Meta(min_length=1)]
    probes_s: list[Seconds] | None = None
    first_token_s: list[Seconds] = []
    per_output_token_s: list[Seconds] = []
    peak_memory_bytes: Bytes | None = None
    graph_compilation_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    earlier_cases: list[Name] | None = None

    def __post_init__(self) -> None:
        """Refuse durations that are no numbers, and probes that do not bracket every round."""
        require_timestamp(self.measured_at, "measured_at")
        require_finite(self.latencies_s, "latencies_s")
        if self.probes_s is not None and len(self.probes_s) != len(self.latencies_s):
            raise ValueError(f"probes_s has {len(self.probes_s)} entries for {len(self.latencies_s)} rounds")

    @property
    def median_s(self) -> float:
        """The median latency of its rounds, in seconds."""
        return float(median(self.latencies_s))

    @property
    def night(self) -> str:
        """The session that it was measured in, which its name begins with; its day, where the name tells none."""
        session, _, _ = self.run_id.rpartition("-")
        return session if _SESSION.match(session) else self.measured_at[:10]


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
    published_on: Date
    note: str = ""


class Anchor(Document, frozen=True):
    """The best level ever accepted, on this stack or an earlier one, kept so that slow ratcheting shows.

    Attributes:
        latency_s: the level: the median over runs of each run's median latency.
        accepted_on: when it was stored.
        stack: the name of the stack that it was measured on.
    """

    latency_s: Seconds
    accepted_on: Date
    stack: str = ""


class AcceptedRegression(Document, frozen=True):
    """A slower level that somebody accepted, with the reason.

    Attributes:
        ratio: new level to old level, 1.08 for 8 % slower.
        reason: why it is accepted.
        latency_s: the level that was accepted, where known.
        against: the name of the stack whose level it is slower than; empty for the same stack.
    """

    accepted_on: Date
    ratio: Annotated[float, msgspec.Meta(gt=0)]
    reason: Annotated[str, msgspec.Meta(min_length=1)]
    latency_s: Seconds | None = None
    against: str = ""


class CaseBaseline(Document, frozen=True):
    """The baseline of one case: either runs that were measured or a number that was published.

    What a comparison requires to be equal stands here: configuration, workload, scale, weights, host class (None for
    published numbers, whose host is not known).

    Attributes:
        token_ids: the new tokens that every run gave.
        stack: the stack that the runs were measured on, where it differs from the file's in a component or setting;
            kind and version are the same.
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
    stack: Stack | None = None

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
    def id(self) -> str:
        """The case id, for instance ``bloomz7b-8x-graphs-kvcache``."""
        return self.configuration.id

    @property
    def level_s(self) -> float:
        """The level in seconds: the published latency, or the median over runs of each run's median latency."""
        if self.published is not None:
            return self.published.latency_s
        return float(median(run.median_s for run in self.runs))

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
            f"{workload.prompt_tokens:06d}",
            workload.prompt,
            self.provenance,
            self.host_class or "",
        )


class Baseline(Document, frozen=True, kw_only=True):
    """One file under ``baselines/``: all cases of one stack on one device.

    Its place is ``<device name>/<stack name>.json``.

    Attributes:
        device: the kind of device.
        stack: the stack of its cases, unless a case says otherwise.
        cases: one entry for each case, workload, scale, weights and host class.
    """

    schema: str = BASELINE_SCHEMA
    device: Device
    stack: Stack
    cases: list[CaseBaseline]

    def __post_init__(self) -> None:
        """Refuse other schemas and cases that are there twice."""
        if self.schema != BASELINE_SCHEMA:
            raise ValueError(f"schema is {self.schema!r}, and this release reads {BASELINE_SCHEMA!r}")
        seen: set[tuple[str, ...]] = set()
        for case in self.cases:
            if case.key in seen:
                raise ValueError(f"case {case.id} is there twice with the same workload, scale, weights and host class")
            seen.add(case.key)
            if case.stack is not None and case.stack.name != self.stack.name:
                raise ValueError(f"case {case.id} is of stack {case.stack.name!r} in a file of {self.stack.name!r}")

    def stack_of(self, case: CaseBaseline) -> Stack:
        """The stack that a case of this file was measured on."""
        return self.stack if case.stack is None else case.stack


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
        ("prompt tokens", run.case.workload.prompt_tokens, case.workload.prompt_tokens),
        ("prompt", run.case.workload.prompt, case.workload.prompt),
    ]
    if case.host_class is not None:
        pairs.append(("host class", run.host.host_class, case.host_class))
    if case.provenance == "published":
        # The article's numbers are of real weights; latency does not depend on the values.
        pairs = [pair for pair in pairs if pair[0] != "weights"]
    return [f"{field} {ours!r} is not {theirs!r}" for field, ours, theirs in pairs if ours != theirs]
