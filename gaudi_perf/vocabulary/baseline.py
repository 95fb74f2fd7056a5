"""Baselines: runs of cases on a stack, kept for comparison and reviewed by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import Document, Name, Seconds, Text, TokenId, decode, encode, fits, repeated
from gaudi_perf.vocabulary.run import COMPARED, Comparability, Measurement, Run, differences, in_order, level_of
from gaudi_perf.vocabulary.stack import UNKNOWN_CPU, Device, Host, Stack
from gaudi_perf.vocabulary.upgrades import upgraded_baseline

Date = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
"""A day in UTC, like ``2023-03-28``; ``require_day`` refuses a 31st of February."""


def require_day(text: str) -> None:
    """Raise ValueError if a text is no day like ``2026-01-31``."""
    if not fits(text, Date):
        raise ValueError(f"{text[:80]!r} is not a day: write it like 2026-01-31")
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a day of the calendar: write it like 2026-01-31") from None


class Published(Document, frozen=True):
    """A number from a page; no spread is known."""

    latency_s: Seconds
    source: Name
    address: Name
    published_on: Date
    note: str = ""

    def __post_init__(self) -> None:
        require_day(self.published_on)


class Anchor(Document, frozen=True):
    """The best level ever accepted (``level_of`` its runs), on this stack or the earlier one that is named, kept so
    that slow ratcheting shows.
    """

    latency_s: Seconds
    accepted_on: Date
    stack: str = ""

    def __post_init__(self) -> None:
        require_day(self.accepted_on)


class AcceptedRegression(Document, frozen=True):
    """A slower level that somebody accepted: its ratio to the old level (1.08 for 8 % slower), and the name of the
    stack whose level it is slower than (empty for the same stack).
    """

    accepted_on: Date
    ratio: Annotated[float, msgspec.Meta(gt=0)]
    reason: Text
    latency_s: Seconds | None = None
    against: str = ""

    def __post_init__(self) -> None:
        require_day(self.accepted_on)


class CaseBaseline(Document, frozen=True):
    """The baseline of one case: either runs that were measured or a number that was published.

    Attributes:
        runs: without what no comparison needs (``Run.without_details``); comparable with each other, by time.
        published: the number, where there are no runs; its host is not known.
        stack: where it differs from the file's in a component or setting; kind and version are the same.
    """

    case: Case
    runs: list[Run] = []
    published: Published | None = None
    token_ids: list[TokenId] = []
    anchor: Anchor | None = None
    accepted_regressions: list[AcceptedRegression] = []
    stack: Stack | None = None

    def __post_init__(self) -> None:
        if bool(self.runs) == (self.published is not None):
            raise ValueError(f"{self.id}: a baseline has either runs or a published number")
        if repeated(run.run_id for run in self.runs):
            raise ValueError(f"{self.id}: the same run is there twice")
        if any(run.case != self.case for run in self.runs):
            raise ValueError(f"{self.id}: a run is of another case")

    @classmethod
    def of(cls, runs: Sequence[Run]) -> CaseBaseline:
        """The entry of runs that are comparable with each other; ValueError without runs, or if one is there twice."""
        if not runs:
            raise ValueError("a baseline needs at least one run")
        ordered = in_order(runs)
        last = ordered[-1]
        return cls(case=last.case, runs=[_kept(run) for run in ordered], token_ids=list(last.measurement.token_ids))

    @property
    def id(self) -> str:
        """The case id, for instance ``bloomz7b-8x-graphs-kvcache``."""
        return self.case.id

    @property
    def level_s(self) -> float:
        """The level in seconds: the published latency, or that of the runs."""
        return level_of(self.runs) if self.published is None else self.published.latency_s

    @property
    def evidence(self) -> list[tuple[str, Measurement]]:
        """What was measured, run by run; two entries with the same are of the same runs."""
        return [(run.run_id, run.measurement) for run in self.runs]

    @property
    def host_class(self) -> str:
        """That of its runs; empty where the host is not known."""
        return self.runs[0].host.host_class if self.runs else ""

    @property
    def provenance(self) -> Literal["measured", "published"]:
        """Whether it has runs."""
        return "measured" if self.published is None else "published"

    @property
    def key(self) -> tuple[str, ...]:
        """What no other entry of a file has, in the order of files."""
        return (*self.case.key, self.provenance, self.host_class)


class Baseline(Document, frozen=True, kw_only=True):
    """All cases of one stack on one device: the file ``<device name>/<stack name>.json`` under ``baselines/``.

    The stack is that of its cases, unless a case says otherwise; each case, provenance and host class has one entry.
    """

    schema: Literal["gaudi-perf/baseline/2"] = "gaudi-perf/baseline/2"
    device: Device
    stack: Stack
    cases: list[CaseBaseline]

    def __post_init__(self) -> None:
        if key := repeated(entry.key for entry in self.cases):
            case_id = next(entry.id for entry in self.cases if entry.key == key)
            raise ValueError(f"case {case_id} is there twice with the same scale, weights and host class")
        for entry in self.cases:
            if entry.stack is not None and entry.stack.name != self.stack.name:
                raise ValueError(f"case {entry.id} is of stack {entry.stack.name!r} in a file of {self.stack.name!r}")

    @property
    def entries(self) -> list[Entry]:
        """Its cases, with what each is of."""
        label = f"{self.device.name}/{self.stack.name}"
        return [Entry(label, self.device, case.stack or self.stack, case) for case in self.cases]


@dataclass(frozen=True)
class Entry:
    """The baseline of a case where it stands, for instance in ``gaudi2/synapse-1.24.0``."""

    label: str
    device: Device
    stack: Stack
    case: CaseBaseline

    @property
    def comparability(self) -> Comparability:
        """What it may be compared with."""
        case, host = self.case.case, self.case.host_class
        return Comparability(case=case, device=self.device.name, stack_kind=self.stack.kind, host_class=host)

    def differences(self, ours: Comparability, *, published: bool = False) -> list[str]:
        """Why something (a published number, or not) cannot be compared with it, in words; empty if it can."""
        # Published numbers are of real weights, on whose values latency does not depend, and of models whose names say
        # what they are made of, where the catalogue does not have them.
        either = published or self.case.published is not None
        ignore = ["weights"] * either + ["architecture"] * (either and not self.case.case.architecture)
        return differences(ours, self.comparability, ignore=ignore)


def encode_baseline(baseline: Baseline) -> bytes:
    """A baseline as a file for people to review: what the runs of an entry have in common stands there once."""
    value = msgspec.to_builtins(baseline)
    for entry in value["cases"]:
        if entry["runs"]:
            entry["host"] = {name: entry["runs"][0]["host"][name] for name in _OF_HOST}
        entry["runs"] = [_stored_run(run) for run in entry["runs"]]
    value["cases"] = [{name: item for name, item in entry.items() if item is not None} for entry in value["cases"]]
    return encode(value)


def decode_baseline(data: bytes, source: str) -> Baseline:
    """Decode a baseline file, of this release or of an earlier one; ``UserError`` names the source and the field."""
    return decode(data, Baseline, source, lambda value: _completed(upgraded_baseline(value)))


_DECIMALS = 9
"""Of a stored duration: nanoseconds, which is finer than any clock's noise."""
_OF_HOST = ("cpu", "cores", "memory_bytes", "hosts")
_OF_RUN = ("run_id", "session_id", "started_at")


def _kept(run: Run) -> Run:
    """What a baseline keeps of a run: every round, and nothing that later comparisons do not need."""
    measured, times = run.measurement, run.measurement.token_times
    if times is not None:
        first, following = _rounded(times.first_token_s), _rounded(times.per_output_token_s)
        times = replace(times, first_token_s=first, per_output_token_s=following)
    kept = replace(
        Measurement(**{name: getattr(measured, name) for name in COMPARED}),
        latencies_s=_rounded(measured.latencies_s),
        probes_s=None if measured.probes_s is None else _rounded(measured.probes_s),
        token_times=times,
    )
    host = Host(**{name: getattr(run.host, name) for name in _OF_HOST})
    return replace(run, stack_label="", device=replace(run.device, available=None), host=host, measurement=kept)


def _rounded(seconds: Sequence[float]) -> list[float]:
    return [max(round(value, _DECIMALS), 10.0**-_DECIMALS) for value in seconds]


def _stored_run(run: dict[str, Any]) -> dict[str, Any]:
    measurement = {name: run["measurement"][name] for name in COMPARED if run["measurement"][name] is not None}
    return {**{name: run[name] for name in _OF_RUN}, "measurement": measurement}


def _completed(value: dict[str, Any]) -> dict[str, Any]:
    """Give the runs of stored entries what they have in common; what is malformed is left to the decoder."""
    cases = value.get("cases")
    if not isinstance(cases, list):
        return value
    return {**value, "cases": [_entry(value, case) if isinstance(case, dict) else case for case in cases]}


def _entry(baseline: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    entry = {name: item for name, item in stored.items() if name != "host"}
    shared = {
        "case": entry.get("case"),
        "device": baseline.get("device"),
        "stack": entry.get("stack") or baseline.get("stack"),
        "host": stored.get("host", {"cpu": UNKNOWN_CPU, "cores": 1, "memory_bytes": 0}),
    }
    runs = entry.get("runs", [])
    if isinstance(runs, list):
        entry["runs"] = [{**shared, **run} if isinstance(run, dict) else run for run in runs]
    return entry
