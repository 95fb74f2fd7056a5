"""Several GPUs: the CUDA engine in real ranks; GPUs, graphs and nccl are pretended (tests/injected/pretended_cuda)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from gaudi_perf.accelerators.cuda.steps import STEP
from gaudi_perf.generation.dummy import dummy_model
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.rank.rank import Rank
from tests.ranks.conftest import ROOT, MakeGroup, prepare, processes_of, rounds
from tests.ranks.test_tokens import NEW_TOKENS, expected


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four GPUs, of which the last two are shown."""
    rows = "\n".join(f"{index}, GPU-{index}{index}, NVIDIA H100 80GB HBM3, 81559" for index in range(4))
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{rows}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("GAUDI_PERF_INJECTED", json.dumps({"cuda": True}))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)]))


def test_two_gpus_give_the_tokens_of_one_process(
    make_group: MakeGroup, server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STEP, "fused-decode")  # without the cache, transformers' own step is captured
    group = make_group(2, "cuda")
    group.start()
    loaded = group.load()
    tokens = expected(dummy_model(shipped_model("bloomz7b").standin, "float32"), loaded.prompt_ids)
    for graphs, kv_cache in [(True, True), (False, True), (True, False)]:
        prepare(group, graphs, kv_cache, NEW_TOKENS)
        first = rounds(group, 3, "warm-up")
        done = rounds(group, 2)
        assert first.token_ids == done.token_ids == tokens, (graphs, kv_cache)
        assert done.problems == [] and done.same_tokens
        captured = (2 if kv_cache else 1) if graphs else None
        assert (done.graph_compilation and done.graph_compilation.count) == captured
    places = {(each["CUDA_VISIBLE_DEVICES"], each["LOCAL_RANK"]) for each in environments(group)}
    assert places == {("2,3", "0"), ("2,3", "1")}, "each rank takes its GPU of those that are shown"
    settings = loaded.stack.settings
    assert settings["world-size"] == "2" and settings["step"] == "fused-decode" and settings["peer-access"] == "all"
    assert settings["NCCL_SOCKET_IFNAME"] == "lo", "nccl opens ports on the loopback interface only"
    assert loaded.device.available == 2


def environments(group: WorkerGroup) -> list[dict[str, str]]:
    return [rank.environ() for rank in processes_of(group, "gaudi_perf.workers.rank.rank")]


def test_graphs_end_before_the_group_does() -> None:
    """NCCL waits for the end of graphs that hold its collectives, for ever."""
    parted: list[str] = []
    rank = object.__new__(Rank)
    rank.communication = SimpleNamespace(rank=1, close=lambda: parted.append("group"))  # type: ignore[assignment]
    rank.engine = SimpleNamespace(close=lambda: parted.append("graphs"))  # type: ignore[assignment]
    rank.close()
    assert parted == ["graphs", "group"]


def test_more_ranks_than_gpus_are_a_mistake_in_one_sentence(make_group: MakeGroup, server: None) -> None:
    group = make_group(3, "cuda")
    with pytest.raises(GroupFailure, match=r"has 2 cuda devices, and is asked for 3|PyTorch sees 2") as caught:
        group.start()
    assert caught.value.mistake and "\n" not in caught.value.sentence
