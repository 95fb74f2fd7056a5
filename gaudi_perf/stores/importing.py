"""Importing what other suites measured: levels, or (of pytest-benchmark) the rounds of runs, become baselines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.files import read_bytes
from gaudi_perf.stores.places import Place, place_of
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline, Published, require_day
from gaudi_perf.vocabulary.configuration import Case, Configuration, case_id_in, configuration_of, workload_of
from gaudi_perf.vocabulary.documents import Count, Name, Seconds, decode, sentence
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, short
from gaudi_perf.vocabulary.gaudi_options import parsed_options
from gaudi_perf.vocabulary.models import SCALES, shipped, shipped_model
from gaudi_perf.vocabulary.run import Measurement, Run
from gaudi_perf.vocabulary.stack import UNKNOWN_CPU, Device, Host, Stack
from gaudi_perf.vocabulary.workload import Workload

_KEY = attrgetter("key")


@dataclass(frozen=True)
class Imported:
    """What a file gave: a baseline for each device, ready to be added, and what was passed over, a clause each."""

    baselines: Sequence[Baseline]
    passed_over: Sequence[str] = ()


@dataclass(frozen=True)
class Circumstances:
    """What was said of a file's numbers.

    Attributes:
        measured_on: a day, for instance ``2026-01-31``; empty where the file says when.
        said: the other options that were given: fields of the workload, ``scale``, ``weights``, and ``gaudi_options``
            as text.
    """

    device: Device
    stack: Stack
    measured_on: str = ""
    said: Mapping[str, object] = field(default_factory=dict)

    def case_of(self, configuration: Configuration, file_says: Mapping[str, object], what: str) -> Case:
        """The case of a configuration, by what the file says of it, what was said, and the defaults.
        Raises UserError if what was said contradicts the file; the sentence starts with ``what``.
        """
        said = {**self.said, "device": self.device.name, "stack": self.stack.name}
        for name, theirs in file_says.items():
            if said.get(name, theirs) != theirs:
                raise UserError(
                    f"{what}: it says {name.replace('_', ' ')} {theirs!r}, and --{name.replace('_', '-')} says "
                    f"{said[name]!r}: name what was measured"
                )
        fields = {**said, **file_says}
        workload = {name: fields[name] for name in Workload.__struct_fields__ if name in fields}
        case: dict[str, Any] = {
            "configuration": configuration,
            "accelerator": self.device.accelerator,
            "workload": workload,
            "scale": fields.get("scale", "full"),
            "weights": fields.get("weights", "hub"),
        }
        model = shipped().get(configuration.model)
        if model is not None and not model.known_by_name and case["scale"] in SCALES:
            case["architecture"] = model.digest_at(case["scale"])
        if self.device.accelerator == "hpu":
            try:
                options = parsed_options(str(fields.get("gaudi_options", "")))
            except ValueError as error:
                raise UserError(f"{what}: gaudi_options: {error}") from None
            if model is not None and "gaudi_options" not in fields:
                options = model.gaudi_options_with(options, what)
            dtype: Any = fields.get("dtype", "bfloat16")
            options = options.in_effect(graphs=configuration.graphs, kv_cache=configuration.kv_cache, dtype=dtype)
            case |= {"gaudi_options": options} if options.on else {}
        try:
            return msgspec.convert(case, Case)
        except msgspec.ValidationError as error:
            raise UserError(f"{what}: {sentence(error)}") from None


class _Throughput(msgspec.Struct):
    throughput: float


class _Stats(msgspec.Struct):
    data: Annotated[list[Seconds], msgspec.Meta(min_length=1)] | None = None


class _Benchmark(msgspec.Struct):
    name: str
    stats: _Stats
    extra_info: dict[str, Any] = {}


class _OfRuns(msgspec.Struct):
    """What this suite's ``show_runs`` says of the rounds of a benchmark; earlier releases did not say as much."""

    case: Name
    scale: Name
    weights: Name
    runs: Annotated[list[Name], msgspec.Meta(min_length=1)]
    device: Name
    stack: Name
    dtype: Name
    new_tokens: Count
    batch_size: Count | None = None
    prompt_tokens: Count | None = None
    gaudi_options: str | None = None
    session: Name | None = None
    rounds: list[Count] = []
    not_usable: list[str] = []

    @property
    def said(self) -> dict[str, object]:
        """What it says of the case and of what that was measured on."""
        workload = ("dtype", "new_tokens", "batch_size", "prompt_tokens")
        names = ("scale", "weights", "device", "stack", "gaudi_options", *workload)
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class _Cpu(msgspec.Struct):
    brand_raw: Annotated[str, msgspec.Meta(max_length=200)] = ""
    count: Count = 0


class _Machine(msgspec.Struct):
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)


class _BenchmarkFile(msgspec.Struct):
    benchmarks: list[_Benchmark]
    machine_info: _Machine
    datetime: str


def import_run_generation(path: Path, case_id: str, circumstances: Circumstances) -> Imported:
    """Import ``results.json`` of optimum-habana's ``run_generation.py``: one throughput, no spread.
    Raises UserError if the file cannot be read or is malformed, or the case is none of this suite's.
    """
    configuration = configuration_of(case_id)
    if configuration is None:
        raise UserError("--case is missing or is no case id: write it like bloomz7b-1x-graphs-kvcache")
    shipped_model(configuration.model)
    throughput = decode(read_bytes(path), _Throughput, str(path)).throughput
    check_day(circumstances.measured_on)
    case = circumstances.case_of(configuration, workload_of(case_id), f"--case {case_id}")
    source = "optimum-habana's run_generation.py"
    entry = published(throughput, case, circumstances, source, path.name[:150], str(path))
    return Imported([Baseline(device=circumstances.device, stack=circumstances.stack, cases=[entry])])


def import_pytest_benchmark(path: Path, circumstances: Circumstances) -> Imported:
    """Import a JSON file of pytest-benchmark: every benchmark whose name has a case id in its brackets becomes one run,
    or the runs that this suite showed.

    The file must hold all rounds (``--benchmark-json``, or ``--benchmark-save-data`` with ``--benchmark-save``), and
    says when they were measured. The host class is made of the processor that it names.
    Raises UserError if the file cannot be read or is malformed, or contradicts the circumstances.
    """
    document = decode(read_bytes(path), _BenchmarkFile, str(path))
    measured_at = _utc(document.datetime, path)
    cpu = document.machine_info.cpu
    known = bool(cpu.brand_raw and cpu.count)
    host = Host(cpu=cpu.brand_raw if known else UNKNOWN_CPU, cores=cpu.count if known else 1, memory_bytes=0)
    cases: dict[tuple[str, ...], CaseBaseline] = {}
    passed_over: list[str] = []
    for benchmark in document.benchmarks:
        what = f"{path}: {short(benchmark.name)}"
        own = _runs_shown(benchmark, what)
        try:
            case = _case_in(benchmark, own, circumstances, what)
            rounds = _rounds(benchmark, own, passed_over)
            if case.key in cases:
                raise ValueError("the file has another benchmark of this case")
        except ValueError as error:
            passed_over.append(f"{short(benchmark.name)}: {error}")
            continue
        runs = [
            Run(
                run_id=f"{path.stem[:100]}-{case.id}"[:200] if own is None else run_id,
                session_id=(None if own is None else own.session) or measured_at[:10],
                started_at=measured_at,
                case=case,
                device=circumstances.device,
                stack=circumstances.stack,
                host=host,
                measurement=Measurement(latencies_s=latencies),
            )
            for run_id, latencies in rounds.items()
        ]
        cases[case.key] = CaseBaseline.of(runs)
    baseline = Baseline(device=circumstances.device, stack=circumstances.stack, cases=sorted(cases.values(), key=_KEY))
    return Imported([baseline] if cases else [], passed_over)


def _runs_shown(benchmark: _Benchmark, what: str) -> _OfRuns | None:
    """What this suite said of the benchmark; None if it is another's."""
    if not {"case", "runs", "stack"} <= benchmark.extra_info.keys():
        return None
    try:
        return msgspec.convert(benchmark.extra_info, _OfRuns)
    except msgspec.ValidationError as error:
        raise UserError(f"{what}: extra_info: {sentence(error)}") from None


def _case_in(benchmark: _Benchmark, own: _OfRuns | None, circumstances: Circumstances, what: str) -> Case:
    """The case of a benchmark; ValueError if it is not known, UserError if it is another than the options say."""
    case_id = case_id_in(benchmark.name) if own is None else own.case
    configuration = configuration_of(case_id)
    if configuration is None:
        raise ValueError("its name has no case id, and nothing else, in brackets")
    if configuration.model not in shipped():
        raise ValueError(f"this suite has no model {configuration.model!r}")
    says = {**({} if own is None else own.said), **workload_of(case_id)}
    case = circumstances.case_of(configuration, says, what)
    if case.id not in (case_id, configuration.id):
        raise ValueError(f"with the options it is {case.id}, or its prompt is not known")
    return case


def _rounds(benchmark: _Benchmark, own: _OfRuns | None, passed_over: list[str]) -> dict[str, list[float]]:
    """The rounds of each run of a benchmark; ValueError if there are none, or nobody knows whose they are."""
    data = benchmark.stats.data
    if data is None:
        raise ValueError("the file holds no rounds: store it with --benchmark-save-data")
    if own is None:
        return {"": data}
    counts = own.rounds or ([len(data)] if len(own.runs) == 1 else [])
    if len(counts) != len(own.runs) or sum(counts) != len(data) or 0 in counts or len(set(own.runs)) != len(own.runs):
        raise ValueError(
            f"{counted(len(own.runs), 'run')} of {counted(len(data), 'round')}, and the file does not say which are "
            "whose: use gaudi-perf baselines refresh with the session's results"
        )
    found: dict[str, list[float]] = {}
    rest, reasons = iter(data), itertools.chain(own.not_usable, itertools.repeat(""))
    for run_id, count, reason in zip(own.runs, counts, reasons, strict=False):
        latencies = list(itertools.islice(rest, count))
        if reason:
            passed_over.append(f"{own.case}: run {run_id} {reason}")
        else:
            found[run_id] = latencies
    if not found:
        raise ValueError("none of its runs can be used")
    return found


def _utc(text: str, path: Path) -> str:
    """When a file was written, as documents write it. pytest-benchmark names the offset, or means UTC."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        there = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
        return f"{there.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}Z"
    except (ValueError, OverflowError):
        raise UserError(f"{path}: datetime is {text[:80]!r}, which is no time like 2026-01-31T23:59:59+00:00") from None


def add_imported(store: BaselineStore, baselines: Sequence[Baseline]) -> list[Place]:
    """Add imported entries to the baselines; returns the files that were written.

    None takes the place of another, for levels are changed by a refresh; one that is there with the same numbers, of
    whatever day and file, is left alone.
    Raises UserError if an entry of the same case is there with other numbers, or a file is malformed: then nothing has
    been written; or a file cannot be written: then it is kept as it was.
    """
    merged: list[Baseline] = []
    with store.locked():
        for imported in baselines:
            place = place_of(store.directory, imported.device.name, imported.stack.name)
            before = store.load(place) if place.path.exists() else replace(imported, cases=[])
            cases = {case.key: case for case in before.cases}
            for case in imported.cases:
                new = replace(case, stack=None if before.stack == imported.stack else imported.stack)
                old = cases.setdefault(case.key, new)
                if differing := _differing(old, new):
                    raise UserError(f"{place.path}: {case.id} is there already, {differing}: remove it if it is wrong")
            after = replace(before, cases=[cases[key] for key in sorted(cases)])
            if after.cases != before.cases:
                merged.append(after)
        return [store.write(baseline) for baseline in merged]


def _differing(old: CaseBaseline, new: CaseBaseline) -> str:
    """How the numbers of an imported entry differ from those that are there; empty if they do not."""
    if old.published is None:
        return "" if old.evidence == new.evidence else "with other runs"
    same = old.level_s == new.level_s
    return "" if same else f"at {old.level_s:.9g} s, and the import says {new.level_s:.9g} s"


def published(
    throughput: float, case: Case, circumstances: Circumstances, source: str, address: str, what: str, note: str = ""
) -> CaseBaseline:
    """A number of ``run_generation.py``, which is new tokens per second over all rows of the batch; ``note`` ends what
    is said of it.
    """
    latency = case.workload.new_tokens * case.workload.batch_size / throughput if throughput > 0 else 0.0
    if not (math.isfinite(latency) and latency > 0):
        raise UserError(f"{what}: throughput is {throughput!r}, and it is tokens per second above 0")
    published = Published(
        latency_s=latency,
        source=source,
        address=address,
        published_on=circumstances.measured_on,
        note=f"from {throughput:.6g} tokens per second, tokenization included{note}",
    )
    return CaseBaseline(case=case, published=published)


def check_day(day: str) -> None:
    """Raise UserError if ``--day`` is no day like ``2026-01-31``."""
    try:
        require_day(day)
    except ValueError as error:
        raise UserError(f"--day: {error}") from None
