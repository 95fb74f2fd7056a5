"""Unmodified optimum-habana and DeepSpeed generate on the emulation what plain transformers generates without it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import DEADLINE, INSIDE, Environment, clean_environment, results, run

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(
        importlib.util.find_spec("optimum") is None or importlib.util.find_spec("deepspeed") is None,
        reason="needs gaudi-perf[hpu]",
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bloom")
    done = run(["reference.py", str(directory)], clean_environment())
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def reference(model: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = json.loads((model / "reference.json").read_text())
    return found


@pytest.fixture(scope="module")
def generated(model: Path, server: Callable[..., Environment]) -> dict[str, Any]:
    env = server({"PT_HPU_LAZY_MODE": "1", "PT_HPU_ENABLE_CACHE_METRICS": "1"}, synapse="1.23.0")
    return results(run(["bloom.py", str(model)], env))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cache", ["kvcache", "nocache"])
@pytest.mark.parametrize("mode", ["graphs", "eager"])
def test_tokens_are_those_of_plain_transformers(
    mode: str, cache: str, dtype: str, generated: dict[str, Any], reference: dict[str, list[int]]
) -> None:
    expected = reference[f"{dtype}-{cache}"]
    for generation in generated[f"{dtype}-{mode}-{cache}"]:
        assert generation["tokens"] == expected


def test_the_reference_distinguishes_tokens_and_dtypes(reference: dict[str, list[int]]) -> None:
    assert len(set(reference["float32-kvcache"])) > 30 and len(set(reference["bfloat16-kvcache"])) > 8
    assert reference["bfloat16-kvcache"] != reference["bfloat16-own-gelu-kvcache"]  # else say so in the document


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_with_cache_there_are_two_captures_then_replays_only(dtype: str, generated: dict[str, Any]) -> None:
    first, *rest = generated[f"{dtype}-graphs-kvcache"]
    assert (first["captures"], first["replays"]) == (2, 98)
    for round_ in rest:
        assert (round_["captures"], round_["replays"], round_["compilations"], round_["misses"]) == (0, 100, 0, 0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_without_cache_every_step_is_captured_once(dtype: str, generated: dict[str, Any]) -> None:
    first, *rest = generated[f"{dtype}-graphs-nocache"]
    assert (first["captures"], first["replays"]) == (100, 0)
    for round_ in rest:
        assert (round_["captures"], round_["replays"], round_["compilations"], round_["misses"]) == (0, 100, 0, 0)


def test_without_cache_position_one_graph_does(generated: dict[str, Any], reference: dict[str, list[int]]) -> None:
    first, second = generated["float32-graphs-nocache-one-graph"]
    assert (first["captures"], first["replays"], second["captures"], second["replays"]) == (1, 99, 0, 100)
    assert first["tokens"] == second["tokens"] == reference["float32-nocache"]


@pytest.mark.parametrize("cache", ["kvcache", "nocache"])
def test_eager_rounds_are_free_of_compilations(cache: str, generated: dict[str, Any]) -> None:
    _, *rest = generated[f"float32-eager-{cache}"]
    assert all((r["captures"], r["replays"], r["compilations"], r["misses"]) == (0, 0, 0, 0) for r in rest)


def test_optimum_habana_reads_the_pretended_release(generated: dict[str, Any]) -> None:
    assert generated["version"].startswith("1.23.0")


def test_deepspeed_with_two_ranks(
    model: Path, reference: dict[str, list[int]], server: Callable[..., Environment], free_port: int
) -> None:
    env = server(
        {
            **{"PT_HPU_LAZY_MODE": "1", "PT_HPU_ENABLE_LAZY_COLLECTIVES": "true", "WORLD_SIZE": "2"},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port), "LOCAL_SIZE": "2"},
        }
    )
    ranks = [
        subprocess.Popen(
            [sys.executable, "tensor_parallel.py", str(model)],
            env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=INSIDE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for index, rank in enumerate(ranks):
            out, err = rank.communicate(timeout=DEADLINE)
            found: dict[str, Any] = results(subprocess.CompletedProcess(rank.args, rank.returncode, out, err))
            assert found["tokens"] == reference["float32-kvcache"][:27]
            assert found["device"] == found["accelerator"] == f"hpu:{index}"
            assert (found["captures"], found["replays"]) == (2, 38)
            assert found["sharded"] == [256, 128]  # half of 4 x 128 rows
    finally:
        for rank in ranks:
            rank.kill()
