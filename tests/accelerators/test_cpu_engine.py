"""The CPU engine as its worker drives it, in this process."""

from __future__ import annotations

import gc
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from gaudi_perf import protocol
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.generation.compilations import Compilations
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.workload import FIXED_PROMPT_IDS
from gaudi_perf.workers.rank.worker import Worker

NEW_TOKENS = 12
needs_compiler = pytest.mark.skipif(bool(CpuAccelerator().cannot_run(True, 1)), reason="graphs need a compiler")


class Driver:
    """Asks a worker, and keeps the progress that it reports."""

    def __init__(self) -> None:
        self.progress: list[str] = []
        self.worker = Worker(self._report)

    def _report(self, reply: protocol.AnyReply) -> None:
        assert isinstance(reply, protocol.Progress)
        self.progress.append(reply.text)

    def ask(self, request: protocol.AnyRequest) -> protocol.AnyReply:
        """What the controller gets: the reply, sent and read again."""
        return msgspec.json.decode(encode_line(self.worker.answer(request)), type=protocol.AnyReply)

    def load(self, spec: GroupSpec) -> protocol.Loaded:
        reply = self.ask(protocol.Load(group=spec))
        assert isinstance(reply, protocol.Loaded), reply
        return reply

    def prepare(self, **variant: Any) -> None:
        request = protocol.Prepare(variant=Variant(**{"new_tokens": NEW_TOKENS, **variant}))
        assert self.ask(request) == protocol.Prepared()

    def rounds(self, count: int) -> protocol.RoundsDone:
        reply = self.ask(protocol.Rounds(count=count))
        assert isinstance(reply, protocol.RoundsDone), reply
        return reply

    def token_rounds(self, count: int) -> protocol.TokenRoundsDone:
        reply = self.ask(protocol.TokenRounds(count=count))
        assert isinstance(reply, protocol.TokenRoundsDone), reply
        return reply


def assert_whole(done: protocol.RoundsDone, count: int) -> None:
    assert len(done.latencies_s) == count and min(done.latencies_s) > 0
    assert done.probes_s is not None and len(done.probes_s) == count and min(done.probes_s) > 0
    assert len(done.token_ids) == NEW_TOKENS and done.same_tokens
    assert done.peak_memory_bytes is not None and done.peak_memory_bytes > 10_000_000


def test_loaded_says_what_it_is(spec: GroupSpec) -> None:
    driver = Driver()
    loaded = driver.load(spec)
    assert loaded.device.name == loaded.device.accelerator == "cpu"
    assert loaded.stack.kind == "torch" and torch.__version__.startswith(loaded.stack.version)
    assert {"python", "transformers", "cpu-capability", "compiler"} <= loaded.stack.components.keys()
    assert loaded.stack.settings["threads"] == "1"
    assert int(loaded.stack.settings["interop-threads"]) >= 1
    for component in ("onednn", "mkl"):
        version = loaded.stack.components[component]
        assert version == "none" or version in torch.__config__.show()
    assert tuple(loaded.prompt_ids) == FIXED_PROMPT_IDS
    assert any("dummy weights" in text for text in driver.progress)


def test_precompiled_headers_are_kept_with_what_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not in a directory for temporary files, where they stay, and another user could put some."""
    from torch._inductor import codecache

    for name in ("_HEADER_DIR", "_HEADER_LOCK_DIR"):
        monkeypatch.setattr(codecache, name, "/tmp", raising=False)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    Compilations().watch()
    torch.compiler.reset()  # nobody watches any more
    assert f"{tmp_path}/precompiled_headers" == codecache._HEADER_DIR
    assert codecache._HEADER_LOCK_DIR.startswith(codecache._HEADER_DIR)


@needs_compiler
@pytest.mark.slow
def test_the_four_variants_give_the_same_tokens_and_graphs_are_counted(
    spec: GroupSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # what another test compiled takes no time to compile
    driver = Driver()
    driver.load(spec)
    tokens = set()
    for graphs, kv_cache in itertools.product((False, True), (True, False)):
        driver.prepare(graphs=graphs, kv_cache=kv_cache)
        first = driver.rounds(1)
        assert_whole(first, 1)
        done = driver.rounds(3)
        assert_whole(done, 3)
        tokens.add(tuple(done.token_ids))
        assert done.problems == []
        if graphs:
            assert any("compiled once inside" in problem for problem in first.problems)
            assert done.graph_compilation == first.graph_compilation is not None
            assert first.graph_compilation.count == 1
            seconds = first.graph_compilation.seconds
            assert seconds is not None and 0 < seconds <= first.latencies_s[0]
        else:
            assert done.graph_compilation is None and first.problems == []
        token_rounds = driver.token_rounds(2)
        assert len(token_rounds.first_token_s) == len(token_rounds.per_output_token_s) == 2
        assert min(token_rounds.first_token_s + token_rounds.per_output_token_s) > 0
        assert driver.rounds(1).problems == [], "taking token times compiles nothing"
    assert len(tokens) == 1, "compiled or not, cached or not: float32 gives the same tokens"

    # A compilation inside timed rounds, which the rounds confess.
    torch._dynamo.reset_code_caches()
    disturbed = driver.rounds(2)
    (problem,) = disturbed.problems
    assert "compiled once inside the timed rounds" in problem and "--warm-up-limit" in problem
    assert driver.rounds(2).problems == []

    # Prepared again, it counts from nothing; compile is what a CPU has for graphs.
    driver.prepare(graphs=False, compiled=True, kv_cache=False)
    again = driver.rounds(1)
    assert tuple(again.token_ids) in tokens
    assert again.graph_compilation is not None and again.graph_compilation.count == 1
    assert again.graph_compilation.seconds is None, "it came from the cache on disk, so nobody knows what it costs"


def test_rounds_do_not_begin_with_a_walk_through_all_objects(spec: GroupSpec) -> None:
    driver = Driver()
    driver.load(spec)
    driver.prepare(graphs=False, kv_cache=True)
    driver.rounds(1)
    try:
        assert len(gc.get_objects()) < gc.get_freeze_count() / 10
        driver.prepare(graphs=False, kv_cache=False)
        assert gc.get_freeze_count() == 0, "what the variant before has left can be collected"
    finally:
        gc.unfreeze()


def test_one_new_token_has_no_time_per_following_token(spec: GroupSpec) -> None:
    driver = Driver()
    driver.load(spec)
    driver.prepare(graphs=False, kv_cache=True, new_tokens=1)
    done = driver.token_rounds(2)
    assert len(done.first_token_s) == 2 and done.per_output_token_s == []


def test_a_batch_generates_for_every_sequence(spec: GroupSpec) -> None:
    driver = Driver()
    driver.load(spec)
    driver.prepare(graphs=False, kv_cache=True)
    alone = driver.rounds(1).token_ids
    driver.prepare(graphs=False, kv_cache=True, batch_size=3)
    assert driver.rounds(1).token_ids == alone


@pytest.mark.parametrize(
    "request_",
    [protocol.Prepare(variant=Variant(graphs=False, kv_cache=True, new_tokens=1)), protocol.Rounds(count=1)],
)
def test_nothing_is_loaded_yet(request_: protocol.Request) -> None:
    reply = Driver().worker.answer(request_)  # type: ignore[arg-type]
    assert reply == protocol.Failed(message="nothing is loaded yet")


def test_rounds_before_prepare_are_a_fault_not_the_end(spec: GroupSpec) -> None:
    driver = Driver()
    driver.load(spec)
    reply = driver.worker.answer(protocol.Rounds(count=1))
    assert isinstance(reply, protocol.Failed) and "prepare() comes first" in reply.message and not reply.mistake
    driver.prepare(graphs=False, kv_cache=True)
    assert_whole(driver.rounds(1), 1)


def test_unknown_names_are_mistakes(spec: GroupSpec) -> None:
    for field, value in (("model", "bloomz1t"), ("engine", "abacus")):
        group = GroupSpec(**{**{name: getattr(spec, name) for name in spec.__struct_fields__}, field: value})
        reply = Driver().worker.answer(protocol.Load(group=group))
        assert isinstance(reply, protocol.Failed) and reply.mistake
        assert value in reply.message and "\n" not in reply.message


def test_ping_needs_no_model() -> None:
    assert Driver().worker.answer(protocol.Ping()) == protocol.Pong()
