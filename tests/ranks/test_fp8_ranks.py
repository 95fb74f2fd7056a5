"""Two ranks of an emulated Gaudi in FP8: each measures its part, and all variants give the same tokens."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from msgspec.structs import replace

from gaudi_perf.protocol import Weights
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.checking import OutputChecker
from tests.ranks.conftest import MakeGroup, prepare, rounds
from tests.ranks.test_tokens import TWO, files_of

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("optimum", "neural_compressor")),
    reason="needs gaudi-perf[hpu,fp8], and Python 3.11",
)


def test_two_ranks_in_fp8(make_group: MakeGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    group = make_group(2, "emulated-gaudi2")
    group.start()
    # A rank of this BLOOM has one head, whose cache optimum-habana takes for another's.
    one_head_each = Weights(kind="path", path=str(files_of(TWO, tmp_path / "weights")))
    for model, weights in (("bloomz7b", one_head_each), ("mixtral-8x7b", Weights())):
        group.spec = replace(group.spec, model=model, dtype="fp8", weights=weights)
        loaded = group.load()
        assert loaded.unquantized is not None and 0.01 < loaded.unquantized.error < 0.15
        tokens = set()
        for graphs, kv_cache in ((True, True), (True, False)):
            prepare(group, graphs, kv_cache, 6)
            rounds(group, 1, "warm-up")
            done = rounds(group)
            assert done.problems == [] and done.same_tokens
            tokens.add(tuple(done.token_ids))
            case = Case(
                configuration=Configuration(model=model, devices=2, graphs=graphs, kv_cache=kv_cache),
                accelerator="hpu",
                workload=Workload(dtype="fp8", new_tokens=6),
                scale="standin",
            )
            assert OutputChecker().check(group, case, [done.token_ids]).problems == []
        assert len(tokens) == 1
    kept = sorted(directory.name for directory in (tmp_path / "gaudi-perf" / "fp8").iterdir())
    assert [name.rpartition("-")[2] for name in kept] == ["rank0", "rank1"] * 2
