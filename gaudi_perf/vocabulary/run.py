"""Runs: one document each from the worker to the report; nothing keeps another shape of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import Bytes, Count, Document, Name, Seconds, TokenId
from gaudi_perf.vocabulary.metrics import Metric
from gaudi_perf.vocabulary.models import shipped
from gaudi_perf.vocabulary.stack import Device, Host, Stack, StackKind
from gaudi_perf.vocabulary.telemetry import Telemetry

RunSchema = Literal["gaudi-perf/run/1"]

_TIMESTAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?Z\Z")

_LONGEST_SHOWN = 80
"""Characters of prompts in a sentence."""

COMPARED = ("latencies_s", "token_times", "probes_s", "peak_memory_bytes", "graph_compilation", "earlier_cases")
"""What comparisons need of a measurement."""


class WarmUp(Document, frozen=True):
    """The rounds before those that count; not ``steady`` if they ended by their limit. The reason says why."""

    latencies_s: list[Seconds]
    steady: bool
    reason: str


class TokenTimes(Document, frozen=True):
    """Times within a generation, per round, from rounds of their own, so that taking them disturbs no latency: from the
    request to the first new token, and the mean of each following one (empty if only one is generated).
    """

    first_token_s: list[Seconds]
    per_output_token_s: list[Seconds]


class GraphCompilation(Document, frozen=True):
    """Graphs that were compiled or captured before the rounds: time spent and how many, where known."""

    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    count: Count | None = None


class RankSkew(Document, frozen=True):
    """How far apart the ranks of a group ended their rounds: the median, over rounds, of the slowest rank's duration
    less the fastest's, which rank was slowest most often, and in which share of the rounds.
    """

    median_s: Annotated[float, msgspec.Meta(ge=0)]
    lagging_rank: Count
    lagging_share: Annotated[float, msgspec.Meta(ge=0, le=1)]


class TokenTrace(Document, frozen=True):
    """The logits of one generation that was led along given tokens; every list has an entry for each step.

    Attributes:
        likeliest: the few likeliest tokens, the likeliest first; ``logits`` are theirs.
        followed: the logit of the token that it was led along.
        spread: the standard deviation of the logits over the sampled vocabulary; ``magnitude`` their mean absolute
            value.
        sample: the logits of evenly spaced token ids, the same in every configuration of a model; not in documents.
    """

    token_ids: list[TokenId]
    likeliest: list[list[TokenId]]
    logits: list[list[float]]
    followed: list[float]
    spread: list[float]
    magnitude: list[float]
    sample: list[list[float]] = []

    def __post_init__(self) -> None:
        steps = len(self.token_ids)
        lists = (self.likeliest, self.logits, self.followed, self.spread, self.magnitude)
        if any(len(values) != steps for values in lists) or len(self.sample) not in (0, steps):
            raise ValueError(f"a trace of {steps} tokens has lists of other lengths")
        if any(not ids or len(ids) != len(logits) for ids, logits in zip(self.likeliest, self.logits, strict=True)):
            raise ValueError("a step has no likeliest token, or not as many logits as tokens")


class Measurement(Document, frozen=True):
    """What a run yields.

    Attributes:
        latencies_s: the duration of each timed round; that of the slowest rank.
        warm_up: not kept of runs that are baselines, which are all steady.
        tokenization_s: time to turn the prompt into token ids, where there is a tokenizer.
        probes_s: the duration of the reference probes around each round, if there were any; same length.
        rank_latencies_s: per rank, the durations of its rounds, where there are several ranks.
        rank_passes_s: per rank, the durations of forward passes of its part of the model by itself, after the rounds.
            In rounds all ranks wait for the slowest; here none does.
        peak_memory_bytes: the most memory in use during the rounds: of the fullest device, on the CPU of the process.
        trace: the logits along ``token_ids``, from a generation of its own after the rounds.
        problems: why this measurement must not be judged (then it is INVALID); empty for a valid one.
        contradicts: ids of the session's cases from whose outputs these differ by more than rounding; which of the two
            is wrong is not known.
        notes: what is worth knowing and no problem, for instance tokens that differ by rounding.
        memory_bandwidth: bytes a second that the worker read from a block as large as the model's weights.
        phases_s: time spent per phase of the worker group (start, load, prepare, warm-up, rounds, ...).
        earlier_cases: ids of the cases that the worker group measured before, oldest first; None where unknown.
    """

    latencies_s: Annotated[list[Seconds], msgspec.Meta(min_length=1)]
    warm_up: WarmUp = WarmUp(latencies_s=[], steady=True, reason="")
    token_times: TokenTimes | None = None
    tokenization_s: Seconds | None = None
    probes_s: list[Seconds] | None = None
    rank_latencies_s: list[list[Seconds]] | None = None
    rank_skew: RankSkew | None = None
    rank_passes_s: list[list[Seconds]] | None = None
    peak_memory_bytes: Bytes | None = None
    graph_compilation: GraphCompilation | None = None
    token_ids: list[TokenId] = []
    trace: TokenTrace | None = None
    problems: list[str] = []
    contradicts: list[Name] = []
    notes: list[str] = []
    memory_bandwidth: Annotated[float, msgspec.Meta(gt=0)] | None = None
    phases_s: dict[str, float] = {}
    earlier_cases: list[Name] | None = None
    telemetry: Telemetry | None = None

    def __post_init__(self) -> None:
        for field in ("latencies_s", "probes_s"):
            for value in getattr(self, field) or ():
                if not 0 < value < math.inf:
                    raise ValueError(f"{field} has {value!r}, and a duration is a finite number above 0")
        if self.probes_s is not None and len(self.probes_s) != len(self.latencies_s):
            raise ValueError(f"probes_s has {len(self.probes_s)} entries for {len(self.latencies_s)} rounds")


class Run(Document, frozen=True, kw_only=True):
    """All rounds of a case in one fresh worker group: the unit of evidence.

    It started in UTC, as ``2026-01-31T23:59:59Z``; the label is what the stacks' file calls the stack, where two were
    measured side by side, else empty. The architecture is not set for BLOOMZ, whose name says it.
    """

    schema: RunSchema = "gaudi-perf/run/1"
    run_id: Name
    session_id: Name
    started_at: str
    case: Case
    device: Device
    stack: Stack
    host: Host
    measurement: Measurement
    stack_label: str = ""
    architecture: Architecture | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_timestamp(self.started_at, "started_at")

    @property
    def built(self) -> Architecture | None:
        """What the model was made of; None if neither the document nor this release's catalogue says it."""
        model = shipped().get(self.case.configuration.model)
        if isinstance(self.architecture, Architecture):
            return self.architecture
        return None if model is None else model.at(self.case.scale)

    @property
    def level_s(self) -> float:
        """The median of its rounds, in seconds."""
        return float(median(self.measurement.latencies_s))

    def values(self, metric: Metric) -> list[float]:
        """What was measured of a metric: seconds of each round, or one value of the run; bytes for memory."""
        measured = self.measurement
        times, compilation = measured.token_times, measured.graph_compilation
        if metric == "latency":
            return measured.latencies_s
        if metric in ("first-token", "per-token"):
            if times is None:
                return []
            return times.first_token_s if metric == "first-token" else times.per_output_token_s
        value = measured.peak_memory_bytes if metric == "memory" else compilation.seconds if compilation else None
        return [float(value)] if value else []

    @property
    def stack_title(self) -> str:
        """Its stack for people: ``synapse-1.24.0``, with the label that the stacks' file gives it in brackets."""
        return f"{self.stack.name} ({self.stack_label})" if self.stack_label else self.stack.name

    @property
    def problems(self) -> list[str]:
        """Why it is INVALID and must not be judged; empty if it may be."""
        return self.measurement.problems

    @property
    def valid(self) -> bool:
        """Whether it may be judged."""
        return not self.problems

    @property
    def steady(self) -> bool:
        """Whether its rounds had become steady when the warm-up ended."""
        return self.measurement.warm_up.steady

    @property
    def usable(self) -> bool:
        """Whether it is evidence of a level: neither INVALID nor never steady."""
        return self.valid and self.steady

    @property
    def comparability(self) -> Comparability:
        """What it may be compared with."""
        return Comparability(
            case=self.case,
            device=self.device.name,
            stack_kind=self.stack.kind,
            stack_label=self.stack_label,
            host_class=self.host.host_class,
        )

    def without_details(self) -> Run:
        """The same without what no later comparison needs and what takes much room: traces, telemetry, ranks."""
        kept = Measurement(**{name: getattr(self.measurement, name) for name in (*COMPARED, "warm_up", "problems")})
        return replace(self, measurement=kept)


class Comparability(Document, frozen=True):
    """What must be equal for runs to be comparable; hashable, so that runs are grouped by it."""

    case: Case
    device: Name
    stack_kind: StackKind
    stack_label: str = ""
    host_class: str = ""


def differences(ours: Comparability, theirs: Comparability, *, ignore: Iterable[str] = ()) -> list[str]:
    """Why two things cannot be compared: the differing fields in words; empty if they can.

    What is not known on a side (host class, label of the stack) is no difference, nor are fields to ``ignore``, which
    are named in words.
    """
    theirs_by_name = _fields(theirs)
    return [
        f"{name} {mine!r} is not {theirs_by_name[name]!r}"
        for name, mine in _fields(ours).items()
        if mine != theirs_by_name[name] and name not in ignore
        if name not in ("host class", "stack label") or (mine and theirs_by_name[name])
    ]


def _fields(one: Comparability) -> dict[str, object]:
    case, workload = one.case, one.case.workload
    generated = {name: getattr(workload, name) or "" for name in reversed(workload.__struct_fields__)}
    if sum(map(len, workload.prompts)) > _LONGEST_SHOWN:
        generated["prompt"] = f"{workload.prompts[0][:40]}... ({workload.prompt_digest})"
    return {
        "device": one.device,
        "configuration": case.configuration.id,
        "scale": case.scale,
        "weights": case.weights,
        "architecture": case.architecture or "",
        "options": case.options,
        **{name.replace("_", " "): value for name, value in generated.items()},
        "kind of stack": one.stack_kind,
        "stack label": one.stack_label,
        "host class": one.host_class,
    }


def level_of(runs: Sequence[Run]) -> float:
    """The level of runs of one case: the median over runs of each run's median latency, in seconds."""
    return float(median(run.level_s for run in runs))


def runs_apart(runs: Sequence[Run]) -> float | None:
    """By how much the level of the slowest run exceeds that of the fastest, as a share; None of fewer than two."""
    levels = [run.level_s for run in runs]
    return max(levels) / min(levels) - 1 if len(levels) > 1 else None


def median_of(runs: Sequence[Run], metric: Metric) -> float | None:
    """The median of all that runs of one case measured of a metric, in its unit; None if they measured nothing."""
    values = [value for run in runs for value in run.values(metric)]
    return float(median(values)) if values else None


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Runs by the time that they started."""
    return sorted(runs, key=lambda run: (run.started_at, run.run_id))


def require_timestamp(text: str, field: str) -> None:
    """Raise ValueError if a time is not written like ``2026-01-31T23:59:59Z``."""
    match = _TIMESTAMP.match(text)
    try:
        if match is None:
            raise ValueError
        datetime.fromisoformat(match.group(1))  # refuses a 31st of February
    except ValueError:
        raise ValueError(f"{field} is {text!r}: write it in UTC, like 2026-01-31T23:59:59Z") from None
