from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gaudi_perf.accelerators.base import Found
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.accelerators.emulated.accelerator import EmulatedGaudi2
from gaudi_perf.accelerators.hpu import accelerator as hpu
from gaudi_perf.vocabulary.architectures import standin_of
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.models import Scale, bloomz, shipped_model
from gaudi_perf.vocabulary.workload import Dtype, Workload
from gaudi_perf.workers.controller.matrix import configurations
from gaudi_perf.workers.controller.matrix import why_not as reason_for
from tests.shapes import published

NAMES = [model.name for model in bloomz()]


def why_not(wanted: Case, *arguments: Any, **more: Any) -> str:
    return reason_for(wanted, shipped_model(wanted.configuration.model).at(wanted.scale), *arguments, **more)


class AnyGraphs(CpuAccelerator):
    """Runs whatever fits."""

    name = "abacus"

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        return ""


class NoGraphs(AnyGraphs):
    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        return "has no graphs" if variant_graphs else ""


def case(
    model: str = "bloomz7b", devices: int = 1, graphs: bool = True, scale: Scale = "full", dtype: Dtype = "bfloat16"
) -> Case:
    configuration = Configuration(model=model, devices=devices, graphs=graphs, kv_cache=True)
    return Case(configuration=configuration, accelerator="cpu", workload=Workload(dtype=dtype), scale=scale)


GB = 10**9


@pytest.mark.parametrize(
    ("wanted", "found", "sentence"),
    [
        (case(devices=8), Found("a", 1, None), "needs 8 devices, found 1"),
        (case(devices=8), Found("a", 7, None), "needs 8 devices, found 7"),
        (case(), Found("a", 0, None), "needs 1 device, found 0"),
        (case("bloomz176b"), Found("a", 8, 96 * GB), "352 GB of weights do not fit in 1 x 96 GB"),
        (case("bloomz176b", 8), Found("a", 8, 32 * GB), "352 GB of weights do not fit in 8 x 32 GB"),
        (case("bloomz176b", 8), Found("a", 8, 96 * GB), ""),
        (case("bloomz176b", 8), Found("a", 8, None), ""),
        (case("bloomz176b", scale="standin"), Found("a", 1, GB), ""),
        (case("bloomz7b"), Found("a", 1, 8 * GB), "14 GB of weights do not fit in 1 x 8.0 GB"),
        (case("bloomz7b", dtype="float32"), Found("a", 1, 24 * GB), "28 GB of weights do not fit in 1 x 24 GB"),
        (case("bloomz560m"), Found("a", 1, GB), "1.1 GB of weights do not fit in 1 x 1.0 GB"),
        (case("bloomz7b", 3), Found("a", 8, None), "32 attention heads do not divide among 3 devices"),
        (case("bloomz176b", 7), Found("a", 8, None), ""),
        (case("bloomz176b", 7, scale="standin"), Found("a", 8), "16 attention heads do not divide among 7 devices"),
        (case("llama3.1-8b", 16), Found("a", 16), "8 heads of keys and values do not divide among 16 devices"),
        (case("llama3.1-8b", 8), Found("a", 8), ""),
        (case("mixtral-8x7b", 2), Found("a", 8), ""),
        (case("falcon-40b", 8), Found("a", 8), ""),
        (case("falcon-7b", 71), Found("a", 71), "1 heads of keys and values do not divide among 71 devices"),
        (case("gpt2", 2), Found("a", 8), "models of the architecture gpt2 cannot be divided among devices"),
        (case("mamba-130m", 2), Found("a", 8), "models of the architecture mamba cannot be divided among devices"),
    ],
)
def test_why_not_in_numbers(wanted: Case, found: Found, sentence: str) -> None:
    assert why_not(wanted, AnyGraphs(), found) == sentence
    assert AnyGraphs().why_none() == "no abacus device found"


def test_the_accelerator_has_the_last_word() -> None:
    found = Found("a", 1, None)
    assert why_not(case(graphs=True), NoGraphs(), found) == "has no graphs"
    assert why_not(case(graphs=False), NoGraphs(), found) == ""
    assert why_not(case(devices=2), NoGraphs(), found) == "needs 2 devices, found 1"


def test_datasets_where_only_eager_completes_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found("a", 1, None)
    assert why_not(case(graphs=True), AnyGraphs(), found, batches=True) == ""
    monkeypatch.setattr(AnyGraphs, "batches_with_graphs", False)
    sentence = why_not(case(graphs=True), AnyGraphs(), found, batches=True)
    assert "on abacus datasets are completed without graphs" in sentence
    assert why_not(case(graphs=False), AnyGraphs(), found, batches=True) == ""


def test_graphs_on_the_cpu_need_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    sentence = why_not(case(scale="standin"), CpuAccelerator(), Found("cpu", 1))
    assert "no C++ compiler was found" in sentence and "CXX" in sentence
    assert why_not(case(scale="standin", graphs=False), CpuAccelerator(), Found("cpu", 1)) == ""


def test_compile_stands_beside_graphs() -> None:
    (wanted,) = [one for one in configurations(["mixtral-8x7b"], [1], ["compile"]) if one.kv_cache]
    one = replace(case("mixtral-8x7b"), configuration=wanted)
    assert why_not(one, AnyGraphs(), Found("a", 8)) == ""
    assert why_not(one, EmulatedGaudi2(), Found("a", 8)).startswith("torch.compile on Gaudi wants a process without")
    one = replace(one, configuration=replace(wanted, model="gpt2"))
    assert why_not(one, NoGraphs(), Found("a", 8)) == "has no graphs"


@pytest.mark.parametrize(
    ("search", "graphs", "kv_cache", "model", "words"),
    [
        ({"num_beams": 4}, False, False, "gpt2", ""),
        ({"num_beams": 4}, True, True, "gpt2", "beam search is transformers' own generate, without graphs"),
        ({"penalty_alpha": 0.6, "top_k": 4}, False, True, "gpt2", ""),
        ({"penalty_alpha": 0.6, "top_k": 4}, False, False, "gpt2", "contrastive search needs the KV cache"),
        ({"penalty_alpha": 0.6, "top_k": 4}, False, True, "mamba-130m", "contrastive search needs keys and values"),
        ({"num_beams": 4}, False, True, "mamba-130m", "beam search needs keys and values"),
        ({"num_beams": 4}, False, False, "mamba-130m", ""),
        ({"penalty_alpha": 0.6, "top_k": 4, "batch_size": 99999}, False, True, "gpt2", "0.2 GB of weights and"),
    ],
)
def test_searches(search: dict[str, Any], graphs: bool, kv_cache: bool, model: str, words: str) -> None:
    configuration = Configuration(model=model, devices=1, graphs=graphs, kv_cache=kv_cache)
    wanted = replace(case(), configuration=configuration, workload=Workload(**search))
    reason = why_not(wanted, AnyGraphs(), Found("a", 1, 100 * GB))
    assert reason.startswith(words) and bool(reason) == bool(words)


def test_mixtures_of_experts_in_fp8(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' experts are linear layers that a step chooses among, which graphs have in one tensor."""
    monkeypatch.setattr(hpu, "installed", lambda _: "3.10")
    graphs, found = case("mixtral-8x7b", scale="standin", dtype="fp8"), Found("a", 1)
    eager = case("mixtral-8x7b", graphs=False, scale="standin", dtype="fp8")
    compiled = replace(eager, configuration=replace(eager.configuration, compiled=True))
    for static in (graphs, compiled):
        assert why_not(static, AnyGraphs(), found).startswith("experts in FP8 are computed one by one")
    assert why_not(eager, AnyGraphs(), found) == why_not(graphs, EmulatedGaudi2(), found) == ""
    assert why_not(case("llama3.1-8b", scale="standin", dtype="fp8"), AnyGraphs(), found) == ""
    gpt_oss = standin_of(published("gpt_oss"))
    for accelerator in (AnyGraphs(), EmulatedGaudi2()):
        assert reason_for(eager, gpt_oss, accelerator, found).startswith("gpt_oss in FP8: its experts are no linear")


@given(st.lists(st.integers(1, 16), min_size=1, max_size=5))
def test_every_configuration_is_there_once_and_groups_are_together(devices: list[int]) -> None:
    found = list(configurations(NAMES, devices, ["graphs", "eager"]))
    wanted = itertools.product(NAMES, set(devices), (True, False), (True, False))
    assert {(c.model, c.devices, c.graphs, c.kv_cache) for c in found} == set(wanted)
    assert len({c.id for c in found}) == len(found) == len(NAMES) * len(set(devices)) * 4
    groups = [key for key, _ in itertools.groupby((c.model, c.devices) for c in found)]
    assert len(groups) == len(set(groups)), "a group's cases come one after the other: it is loaded once"


@pytest.mark.parametrize(
    ("model", "devices", "graphs", "words"),
    [
        ("llama3.1-8b", 1, True, ""),
        ("llama3.1-8b", 2, True, ""),
        ("mamba-130m", 2, True, "models of the architecture mamba cannot be divided among devices"),
        ("mixtral-8x7b", 1, True, ""),
    ],
)
def test_what_a_family_cannot_do(model: str, devices: int, graphs: bool, words: str) -> None:
    assert why_not(case(model, devices, graphs, scale="standin"), AnyGraphs(), Found("a", 8)).startswith(words)
    assert bool(why_not(case(model, devices, graphs, scale="standin"), AnyGraphs(), Found("a", 8))) == bool(words)


@pytest.mark.parametrize(
    ("model", "workload", "sentence"),
    [
        ("gpt2", Workload(prompt_tokens=1000, new_tokens=25), ""),
        ("gpt2", Workload(prompt_tokens=1000, new_tokens=26), "needs 1025 positions, and the model has 1024"),
        ("llama3.1-8b", Workload(prompt_tokens=100_000), ""),
        # 8192 x 64 positions of 2 x 32 layers x 8 heads x 128 x 2 bytes
        (
            "llama3.1-8b",
            Workload(batch_size=64, prompt_tokens=8192, new_tokens=1),
            "16 GB of weights and 69 GB of KV cache do not fit in 1 x 80 GB",
        ),
    ],
)
def test_workloads_that_are_too_large(model: str, workload: Workload, sentence: str) -> None:
    assert why_not(replace(case(model), workload=workload), AnyGraphs(), Found("a", 1, 80 * GB)) == sentence
