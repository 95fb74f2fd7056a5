"""optimum-habana's own baselines of text generation, which become published levels.

Its tests (tests/test_text_generation_example.py) start ``run_generation.py``; here is which options each kind of test
gives it, as of the last commit (January 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from gaudi_perf.stores.files import read_bytes
from gaudi_perf.stores.importing import Circumstances, Imported, check_day, published
from gaudi_perf.stores.models import hub_name
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline
from gaudi_perf.vocabulary.configuration import Configuration, Mode
from gaudi_perf.vocabulary.documents import decode, fits
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, short
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import DTYPES

ADDRESS = "https://github.com/huggingface/optimum-habana/tree/main/tests/baselines/fixture"
_DEVICES = {"gaudi1": "gaudi", "gaudi2": "gaudi2", "gaudi3": "gaudi3"}
_TEST = re.compile(r".*::test_text_generation(?:_(?P<kind>\w+))?\[(?P<parameters>.*)\]\Z")
_LONGEST_NAME = 500
"""No test has a longer one."""
_Throughput = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]
_COUNT, _FLAG = r"[1-9][0-9]{0,5}", r"True|False"
_FLEX = rf"(?:-(?P<flex>{_FLAG}))?"  # there since September 2025
_BATCH = rf"(?P<model>.+)-(?P<batch_size>{_COUNT})-(?P<reuse_cache>{_FLAG})"
_SIZES = rf"(?P<prompt_tokens>{_COUNT})-(?P<new_tokens>{_COUNT})"
_CODE_PROMPT = "def print_hello_world():"
"""What the tests give the models called starcoder if their output is checked."""


@dataclass(frozen=True)
class _Kind:
    """A kind of test: how its parameters are written, and what it gives the script beside them: options of a model, and
    others, which are no part of a case.
    """

    parameters: str
    fields: dict[str, Any] = field(default_factory=dict)
    devices: int = 1
    mode: Mode = "graphs"
    gaudi: str = ""
    others: str = ""


_FLASH, _BUCKETS = "use_flash_attention,flash_attention_recompute", "bucket_size=128,bucket_internal"
_OF_MODELS = {
    "(?i)llama": "trim_logits,attn_softmax_bf16",
    "(?i)falcon(?!-mamba)|starcoder2": "use_flash_attention,flash_attention_causal_mask",
    "(?i)starcoder2": "flash_attention_recompute",
    "(?i)starcoder(?!2)|gemma": "use_flash_attention",
    "(?i)moonlight": "trim_logits",
}
"""What the tests give the script for models whose names hold such words, as far as the models read it."""
_OF_MODELS_IN_FP8 = {
    "Llama-2": f"{_FLASH},{_BUCKETS}",
    "Mistral": f"{_FLASH},attn_softmax_bf16",
    "Mixtral": _BUCKETS,
    "(?i)falcon-180b": "flash_attention_recompute",
}


_KINDS = {
    "bf16_1x": _Kind(rf"{_BATCH}-(?P<check_output>{_FLAG}){_FLEX}"),
    "fp8": _Kind(
        rf"(?P<model>.+)-(?P<devices>{_COUNT})-(?P<batch_size>{_COUNT})-(?P<reuse_cache>{_FLAG})-{_SIZES}{_FLEX}",
        {"dtype": "fp8"},
        gaudi="trim_logits",
    ),
    "deepspeed": _Kind(rf"(?P<model>.+)-(?P<devices>{_COUNT})-(?P<batch_size>{_COUNT})"),
    "torch_compile": _Kind("(?P<model>.+)", mode="compile", gaudi="reuse_cache"),
    "torch_compile_distributed": _Kind("(?P<model>.+)", devices=8, mode="compile", gaudi="reuse_cache"),
    # The one model that it has: Llama 2 7B.
    "distributed_tp": _Kind(
        "(?P<model>meta-llama/Llama-2-7b-hf)",
        {"batch_size": 220, "prompt_tokens": 2048},
        devices=8,
        mode="compile",
        gaudi=f"{_FLASH},{_BUCKETS}",
        others="parallel_strategy=tp",
    ),
    "contrastive_search": _Kind(_BATCH, {"penalty_alpha": 0.5, "top_k": 4}),
    "beam_search": _Kind(_BATCH, {"num_beams": 3}, gaudi="bucket_internal,bucket_size=64"),
}
_QUANTIZED = "weights of 4 bits ({}), which this suite does not measure"
_NOT_MEASURED = {
    "gptq": _QUANTIZED.format("GPTQ"),
    "awq": _QUANTIZED.format("AWQ"),
    "bnb": _QUANTIZED.format("bitsandbytes"),
}


def import_optimum_habana(path: Path, stack: Stack, read_on: str) -> Imported:
    """Import ``tests/baselines/fixture/**/*.json``, or one of these files.

    They have new tokens per second over whole batches with tokenization (``run_generation.py``), a number for each test
    and device, of any model: one of the catalogue has its name, others that of their repository. Every text generation
    test that is not imported is named. The files say neither the SynapseAI release nor the day of their commit.
    Raises UserError if there is no such file, or one is no JSON.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file or directory: name optimum-habana's tests/baselines/fixture")
    check_day(read_on)
    by_device: dict[str, dict[tuple[str, ...], tuple[str, CaseBaseline]]] = {}
    passed_over: list[str] = []
    others = 0
    for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
        for test, devices in decode(read_bytes(file), dict[str, Any], str(file)).items():
            match = _TEST.match(test) if len(test) <= _LONGEST_NAME else None
            if match is None and len(test) <= _LONGEST_NAME:
                others += 1
                continue
            try:
                configuration, fields, note = _understood(match)
            except ValueError as error:
                passed_over.append(f"{short(test)}: {error}")
                continue
            for device, throughput in _throughputs(devices):
                where = f"{test} on {short(device)}"
                if device not in _DEVICES or throughput is None:
                    passed_over.append(f"{where}: no throughput of a device that is known")
                    continue
                circumstances = Circumstances(Device(name=_DEVICES[device], accelerator="hpu"), stack, read_on)
                case = circumstances.case_of(configuration, fields, where)
                source = f"optimum-habana, {file.name[:150]}"
                entry = published(throughput, case, circumstances, source, ADDRESS, f"{file}: {where}", note)
                entries = by_device.setdefault(_DEVICES[device], {})
                first, kept = entries.setdefault(entry.key, (test, entry))
                if kept is not entry:
                    parameters = first.rpartition("[")[2].removesuffix("]")
                    same = f"is {case.id}, too, which was imported; options of the script alone differ"
                    passed_over.append(f"{where}: [{parameters}] {same}")
    if others:
        passed_over.append(f"{counted(others, 'test')} of {path} without text generation")
    baselines = []
    for name, entries in sorted(by_device.items()):
        cases = [entry for _, (_, entry) in sorted(entries.items())]
        baselines.append(Baseline(device=Device(name=name, accelerator="hpu"), stack=stack, cases=cases))
    return Imported(baselines, passed_over)


def _understood(test: re.Match[str] | None) -> tuple[Configuration, dict[str, Any], str]:
    """What one of optimum-habana's text generation tests measures: the configuration, the other fields of the case, and
    a note of options that are no part of one. ValueError if it is no case of this suite.
    """
    if test is None:
        raise ValueError("its name is too long")
    name = test["kind"] or ""
    if name in _NOT_MEASURED:
        raise ValueError(_NOT_MEASURED[name])
    if name not in _KINDS:
        raise ValueError(f"tests of the kind {name!r} are not imported")
    kind = _KINDS[name]
    match = re.fullmatch(kind.parameters, test["parameters"])
    if match is None:
        raise ValueError("its parameters are not understood")
    says = {key: value for key, value in match.groupdict().items() if value is not None}
    if says.get("flex") == "True":
        raise ValueError("it is with flex attention, which this suite does not measure")
    fields = {**kind.fields, **{key: int(value) for key, value in says.items() if value.isdecimal()}}
    devices = fields.pop("devices", kind.devices)
    repository = says["model"]
    if says.get("check_output") == "True" and "starcoder" in repository:
        fields["prompt"] = _CODE_PROMPT
    if fields.get("dtype", DTYPES[0]) not in DTYPES:
        raise ValueError(f"it is in {fields['dtype']}, which this suite does not measure")
    fields["gaudi_options"] = ",".join(_gaudi_options(kind, repository, says, fields))
    configuration = Configuration.of(hub_name(repository), devices, kind.mode, kv_cache=True)
    return configuration, fields, f"; with {kind.others}" if kind.others else ""


def _gaudi_options(kind: _Kind, model: str, says: dict[str, str], fields: dict[str, Any]) -> Iterator[str]:
    in_fp8 = fields.get("dtype") == "fp8"
    yield kind.gaudi
    for words, options in [*_OF_MODELS.items(), *(_OF_MODELS_IN_FP8.items() if in_fp8 else ())]:
        if re.search(words, model):
            yield options
    if says.get("reuse_cache") == "True":
        yield _BUCKETS if re.search("(?i)starcoder(?!2)", model) else "reuse_cache"
    if in_fp8 and fields["batch_size"] > 1:  # the script drops it for a batch of 1
        yield "limit_hpu_graphs"


def _throughputs(devices: object) -> Iterator[tuple[str, float | None]]:
    """What a test's entry has for each device: tokens per second, or None where there is no such number (a text, or 0
    for a baseline that is still to be set).
    """
    for device, values in devices.items() if isinstance(devices, dict) else ():
        number = values.get("throughput") if isinstance(values, dict) else None
        yield device, number if fits(number, _Throughput) else None
