"""Importing what other suites measured: levels, or (of pytest-benchmark) the rounds of one run, become baselines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.files import read_bytes
from gaudi_perf.stores.places import Place, place_of
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline, Date, Published
from gaudi_perf.vocabulary.configuration import Case, Configuration, configuration_in
from gaudi_perf.vocabulary.documents import Seconds, decode, fits
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import MODELS, Scale
from gaudi_perf.vocabulary.run import Measurement, Run, require_timestamp
from gaudi_perf.vocabulary.stack import UNKNOWN_CPU, Device, Host, Stack
from gaudi_perf.vocabulary.workload import Workload

OPTIMUM_HABANA = "https://github.com/huggingface/optimum-habana/tree/main/tests/baselines/fixture"
_DEVICES = {"gaudi1": "gaudi", "gaudi2": "gaudi2", "gaudi3": "gaudi3"}
_ONE_DEVICE = re.compile(
    r".*::test_text_generation_bf16_1x\[(?P<model>.+)-(?P<batch>[0-9]+)-(True|False)-(True|False)\]\Z"
)
_DEEPSPEED = re.compile(r".*::test_text_generation_deepspeed\[(?P<model>.+)-(?P<devices>[0-9]+)-(?P<batch>[0-9]+)\]\Z")
_NEW_TOKENS = 100
"""optimum-habana's text generation tests ask for 100 new tokens, with HPU graphs and the KV cache."""
_KEY = attrgetter("key")


@dataclass(frozen=True)
class Imported:
    """What a file gave: a baseline for each device, ready to be added, and what was passed over, a clause each."""

    baselines: tuple[Baseline, ...]
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Circumstances:
    """What a file does not say of its numbers; ``measured_on`` is a day, for instance ``2026-01-31``."""

    device: Device
    stack: Stack
    workload: Workload
    measured_on: str
    scale: Scale = "full"
    weights: str = "hub"

    def case_of(self, configuration: Configuration) -> Case:
        """The case of a configuration."""
        return Case(
            configuration=configuration,
            accelerator=self.device.accelerator,
            workload=self.workload,
            scale=self.scale,
            weights=self.weights,
        )


class _Throughput(msgspec.Struct):
    throughput: float


class _BenchmarkStats(msgspec.Struct):
    data: Annotated[list[Seconds], msgspec.Meta(min_length=1)] | None = None


class _Benchmark(msgspec.Struct):
    name: str
    stats: _BenchmarkStats


class _Cpu(msgspec.Struct):
    brand_raw: str = ""
    count: int = 0


class _Machine(msgspec.Struct):
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)


class _BenchmarkFile(msgspec.Struct):
    benchmarks: list[_Benchmark]
    machine_info: _Machine
    datetime: str


def import_optimum_habana(path: Path, stack: Stack, read_on: str) -> Imported:
    """Import optimum-habana's own baselines of text generation: ``tests/baselines/fixture/**/*.json``, or one of them.

    They are tokens per second over whole generations with tokenization (``run_generation.py``), a number for each test
    and device. Only the models of this suite are imported. The files say neither the SynapseAI release nor the day of
    their commit.
    Raises UserError if there is no such file, or one is malformed.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file or directory: name optimum-habana's tests/baselines/fixture")
    _check_day(read_on)
    entries: dict[str, list[CaseBaseline]] = {}
    passed_over: list[str] = []
    for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
        tests = decode(read_bytes(file), dict[str, dict[str, dict[str, msgspec.Raw]]], str(file))
        for test, devices in tests.items():
            match = _ONE_DEVICE.match(test) or _DEEPSPEED.match(test)
            model = next((model for model in MODELS.values() if match and model.hub_id == match["model"]), None)
            if match is None or model is None:
                continue
            count = int(match.groupdict().get("devices") or 1)
            configuration = Configuration(model=model.name, devices=count, graphs=True, kv_cache=True)
            workload = Workload(new_tokens=_NEW_TOKENS, batch_size=int(match["batch"]))
            for name, values in devices.items():
                raw = bytes(values.get("throughput", b"0"))  # without a number there is a "baseline to set"
                throughput = decode(raw, float, f"{file}: throughput of {test}")
                if name not in _DEVICES or throughput <= 0:
                    passed_over.append(f"{test} on {name}: no throughput of a device that is known")
                    continue
                device = Device(name=_DEVICES[name], accelerator="hpu")
                circumstances = Circumstances(device, stack, workload, read_on)
                entry = _published(
                    throughput, configuration, circumstances, f"optimum-habana, {file.name}", OPTIMUM_HABANA
                )
                entries.setdefault(device.name, []).append(entry)
    baselines = tuple(
        Baseline(device=Device(name=name, accelerator="hpu"), stack=stack, cases=sorted(cases, key=_KEY))
        for name, cases in sorted(entries.items())
    )
    return Imported(baselines, tuple(passed_over))


def import_run_generation(path: Path, configuration: Configuration, circumstances: Circumstances) -> Imported:
    """Import ``results.json`` of optimum-habana's ``run_generation.py``: one throughput, no spread.
    Raises UserError if the file cannot be read or is malformed.
    """
    throughput = decode(read_bytes(path), _Throughput, str(path)).throughput
    if not throughput > 0:
        raise UserError(f"{path}: throughput is {throughput!r}, and it is tokens per second above 0")
    _check_day(circumstances.measured_on)
    entry = _published(throughput, configuration, circumstances, "optimum-habana's run_generation.py", path.name)
    return Imported((Baseline(device=circumstances.device, stack=circumstances.stack, cases=[entry]),))


def import_pytest_benchmark(path: Path, circumstances: Circumstances) -> Imported:
    """Import a JSON file of pytest-benchmark: every benchmark whose name holds a case id becomes one run.

    The file must hold all rounds (``--benchmark-json``, or ``--benchmark-save-data`` with ``--benchmark-save``), and
    says when they were measured. The host class is made of the processor that it names.
    Raises UserError if the file cannot be read or is malformed.
    """
    document = decode(read_bytes(path), _BenchmarkFile, str(path))
    measured_at = f"{document.datetime[:19]}Z"  # pytest-benchmark writes UTC
    try:
        require_timestamp(measured_at, "datetime")
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    cpu = document.machine_info.cpu
    known = bool(cpu.brand_raw and cpu.count)
    host = Host(cpu=cpu.brand_raw if known else UNKNOWN_CPU, cores=cpu.count if known else 1, memory_bytes=0)
    cases: dict[str, CaseBaseline] = {}
    passed_over: list[str] = []
    for benchmark in document.benchmarks:
        configuration = configuration_in(benchmark.name)
        if configuration is None:
            passed_over.append(f"{benchmark.name}: its name holds no case id")
        elif benchmark.stats.data is None:
            passed_over.append(f"{benchmark.name}: the file holds no rounds: store it with --benchmark-save-data")
        elif configuration.id in cases:
            passed_over.append(f"{benchmark.name}: the file has another benchmark of this case")
        else:
            run = Run(
                run_id=f"{path.stem[:150]}-{configuration.id}"[:200],
                session_id=measured_at[:10],
                started_at=measured_at,
                case=circumstances.case_of(configuration),
                device=circumstances.device,
                stack=circumstances.stack,
                host=host,
                measurement=Measurement(latencies_s=benchmark.stats.data),
            )
            cases[configuration.id] = CaseBaseline.of([run])
    baseline = Baseline(device=circumstances.device, stack=circumstances.stack, cases=sorted(cases.values(), key=_KEY))
    return Imported((baseline,) if cases else (), tuple(passed_over))


def add_imported(store: BaselineStore, baselines: Sequence[Baseline]) -> list[Place]:
    """Add imported entries to the baselines; returns the files that were written.

    None takes the place of another, for levels are changed by a refresh; one that is there in the same words is left
    alone.
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
                if old != new:
                    raise UserError(
                        f"{place.path}: {case.id} is there already at {old.level_s:.4g} s, and the import says "
                        f"{new.level_s:.4g} s: remove the entry first if it is wrong"
                    )
            after = replace(before, cases=[cases[key] for key in sorted(cases)])
            if after.cases != before.cases:
                merged.append(after)
        return [store.write(baseline) for baseline in merged]


def _published(
    throughput: float, configuration: Configuration, circumstances: Circumstances, source: str, address: str
) -> CaseBaseline:
    """A number of ``run_generation.py``, which is tokens per second."""
    workload = circumstances.workload
    published = Published(
        latency_s=workload.new_tokens * workload.batch_size / throughput,
        source=source,
        address=address,
        published_on=circumstances.measured_on,
        note=f"from {throughput:.6g} tokens per second, tokenization included",
    )
    return CaseBaseline(case=circumstances.case_of(configuration), published=published)


def _check_day(day: str) -> None:
    if not fits(day, Date):
        raise UserError(f"{day!r} is not a day: write it like 2026-01-31")
