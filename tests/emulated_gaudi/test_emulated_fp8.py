"""Unmodified neural-compressor-pt measures and quantizes small models of optimum-habana on the emulation."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.accelerators.hpu.accelerator import FP8_CACHES

from .conftest import Environment, results, run

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("optimum", "neural_compressor")),
        reason="needs gaudi-perf[hpu,fp8], and Python 3.11",
    ),
]


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory, server: Callable[..., Environment]) -> dict[str, Any]:
    env = server({"PT_HPU_LAZY_MODE": "1"}, generation="gaudi2", synapse="1.23.0")
    return results(run(["fp8.py", str(tmp_path_factory.mktemp("measured"))], env))


@pytest.mark.parametrize(("family", "most"), [("bloom", 0.25), ("llama", 0.25), ("mixtral", 0.5)])
def test_measured_then_quantized(family: str, most: float, quantized: dict[str, Any]) -> None:
    """A token of a mixture may go to another expert: its logits are farther apart."""
    found = quantized[family]
    assert "PatchedLinear" in found["modules"] and "torch.float8_e4m3fn" in found["types"]
    assert found["unlike"] == 0.0  # from torch.float8 on the host with the same scales
    assert 0.01 < found["distance"] < most  # of the logits' spread, from bfloat16
    assert found["graphs"] == found["eager"] and len(found["eager"]) == 27


def test_the_kv_cache_is_fp8_where_the_model_has_one(quantized: dict[str, Any]) -> None:
    assert "PatchedKVCache" in quantized["llama"]["modules"] and "PatchedKVCache" in quantized["mixtral"]["modules"]
    assert "PatchedKVCache" not in quantized["bloom"]["modules"]


def test_experts_are_fp8(quantized: dict[str, Any]) -> None:
    assert "PatchedGaudiMixtralSparseMoeBlock" in quantized["mixtral"]["modules"]


def test_families_whose_cache_takes_the_type_of_a_weight(tmp_path: Path, server: Callable[..., Environment]) -> None:
    found: dict[str, Any] = results(run(["fp8_families.py", str(tmp_path)], server({"PT_HPU_LAZY_MODE": "1"})))
    assert {family: one["linears"] for family, one in found.items()} == {
        **dict.fromkeys(("mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), 12),
        **{"llama": 14, "phi": 10, "gptj": 10, "gpt_neox": 8, "falcon": 6},
    }
    assert {one["head"] for one in found.values()} == {"Linear"} and len(found) == 11
    assert all(len(one["tokens"]) == 15 for one in found.values())
    caches = {family: one["caches"] for family, one in found.items() if "caches" in one}
    assert caches == dict.fromkeys(FP8_CACHES - {"mixtral"}, 4)  # mixtral: test_the_kv_cache_is_fp8...
    assert all(len(one["tokens-fp8kv"]) == 15 for one in found.values() if "caches" in one)


@pytest.fixture(scope="module")
def of_engine(tmp_path_factory: pytest.TempPathFactory, server: Callable[..., Environment]) -> dict[str, Any]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return results(run(["fp8_engine.py"], server({"PT_HPU_LAZY_MODE": "1", "XDG_CACHE_HOME": cache})))


def test_a_wrong_scale_of_one_expert_is_wrong_output(of_engine: dict[str, Any]) -> None:
    """A few of the tokens go to it: over all of them, the mixture is hardly farther apart than by rounding."""
    found = of_engine
    assert found["1.0"]["problems"] == [] and "in a layer up to 0.0" in found["1.0"]["notes"][0]
    for factor in ("2.0", "0.5"):
        (problem,) = found[factor]["problems"]
        assert "WRONG OUTPUT: against the model in bfloat16, layer model.layers.1.block_sparse_moe is 0." in problem
        assert problem.endswith("and FP8 allows 0.25: its scale is wrong")


def test_falcons_attention_is_fp8_with_its_cache(of_engine: dict[str, Any]) -> None:
    """optimum-habana makes it of parts that neural-compressor-pt knows only where a variable says so."""
    found = of_engine["falcon"]
    assert {"PatchedKVCache", "PatchedModuleFusedSDPA"} <= set(found["parts"])
    assert found["tokens"][0] == found["tokens"][1]
    assert found["left"] is None
