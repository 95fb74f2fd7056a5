"""The CUDA engine as its worker drives it, on the CPU: torch.cuda is pretended, captures are a stand-in."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from gaudi_perf import protocol
from gaudi_perf.accelerators import torch_engine
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.accelerators.cuda import capture, stack
from gaudi_perf.accelerators.cuda.engine import CudaEngine
from gaudi_perf.accelerators.cuda.nvml import NvmlFacts
from gaudi_perf.accelerators.cuda.steps import STEP
from gaudi_perf.generation.compilations import Compilations
from gaudi_perf.generation.float8 import Float8Linear
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.architectures import standin_of
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import shipped, shipped_model
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.checking import OutputChecker
from tests.accelerators.lowest import no_scaled_product
from tests.accelerators.tape import record
from tests.accelerators.test_cpu_engine import NEW_TOKENS, Driver
from tests.injected.pretended_cuda import Event, pretend
from tests.shapes import published

BLOOMZ = {name for name in shipped() if name.startswith("bloomz")}
NOT_CAPTURED = {
    **dict.fromkeys(("falcon-7b", "falcon-40b"), "attention takes heads by a list of numbers, which the host brings"),
    "gemma2-9b": "it multiplies by a number of the host, as a CUDA graph may and the stand-in of one may not",
}
needs_compiler = pytest.mark.skipif(bool(CpuAccelerator().cannot_run(True, 1)), reason="graphs need a compiler")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, spec: GroupSpec) -> GroupSpec:
    """A pretended H100 in the memory of the host; the group to load on it."""
    pretend(monkeypatch.setattr)
    facts = NvmlFacts(driver="580.159.04", cuda="13.0", settings={"power-limit": "700 W"}, nvlinks=18)
    monkeypatch.setattr(stack, "nvml_facts", lambda uuid: facts if uuid == "1234" else NvmlFacts())
    monkeypatch.setenv(STEP, "transformers")
    return GroupSpec(engine="cuda", model=spec.model, devices=1, scale="standin", dtype="float32")


def test_loaded_says_what_it_is(gpu: GroupSpec) -> None:
    loaded = Driver().load(gpu)
    assert (loaded.device.name, loaded.device.accelerator, loaded.device.available) == ("h100-80gb", "cuda", 1)
    assert loaded.device.memory_bytes == 85_000_000_000
    assert loaded.stack.name == "cuda-13.0"
    components = loaded.stack.components
    assert components["driver"] == "580.159.04" and components["gpu"] == "NVIDIA H100 80GB HBM3"
    assert components["compute-capability"] == "9.0" and components["pytorch"] == torch.__version__
    assert {"cudnn", "nccl", "triton", "transformers", "cuda-of-driver", "python"} <= components.keys()
    assert loaded.stack.settings["power-limit"] == "700 W" and loaded.stack.settings["step"] == "transformers"
    assert loaded.memory_bandwidth is not None and loaded.memory_bandwidth > 1e9


def test_a_group_s_stack_has_what_collectives_depend_on(gpu: GroupSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_ALGO", "Ring")
    monkeypatch.setenv("NCCL_DEBUG", "WARN")
    monkeypatch.setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    collectives = {"NCCL_ALGO", "NCCL_DEBUG", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "nvlinks", "peer-access"}
    assert not collectives & stack.cuda_stack().settings.keys(), "one GPU has none"
    for name, value in {"WORLD_SIZE": "2", "LOCAL_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    settings = stack.cuda_stack().settings
    assert collectives & settings.keys() == collectives - {"NCCL_DEBUG"}
    assert (settings["peer-access"], settings["nvlinks"], settings["NCCL_ALGO"]) == ("all", "18", "Ring")
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda one, other: False)
    assert stack.cuda_stack().settings["peer-access"] == "none"


def test_a_rank_without_a_gpu_of_its_own_is_a_mistake(gpu: GroupSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(UserError, match=r"rank 1 of this host .* sees 1 \(CUDA_VISIBLE_DEVICES=3\)"):
        CudaEngine().import_for_ranks()


def test_a_rank_takes_the_gpu_of_its_number(gpu: GroupSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch_engine, "import_deepspeed", lambda: taken.append("DeepSpeed"))
    monkeypatch.setenv("LOCAL_RANK", "3")
    CudaEngine().import_for_ranks()
    assert taken == [3, "DeepSpeed"]


def test_what_replaces_alibi_is_put_back(gpu: GroupSpec) -> None:
    """DeepSpeed has put its own there, which must be there again when the graphs are gone."""
    driver = Driver()
    driver.load(gpu)
    engine = driver.worker.engine
    assert isinstance(engine, CudaEngine)
    transformer = engine._model.transformer
    of_ranks = functools.partial(transformer.build_alibi_tensor)
    transformer.build_alibi_tensor = of_ranks
    driver.prepare(graphs=True, kv_cache=True)
    assert transformer.build_alibi_tensor is not of_ranks
    driver.worker.close()
    assert transformer.build_alibi_tensor is of_ranks and engine._generation is None


@pytest.mark.slow
def test_the_four_variants_give_the_same_tokens_and_captures_are_counted(gpu: GroupSpec) -> None:
    driver = Driver()
    driver.load(gpu)
    tokens = set()
    for graphs, kv_cache in itertools.product((True, False), (True, False)):
        driver.prepare(graphs=graphs, kv_cache=kv_cache)
        first = driver.rounds(3)
        done = driver.rounds(2)
        tokens.add(tuple(done.token_ids))
        assert len(done.token_ids) == NEW_TOKENS and done.same_tokens and done.token_ids == first.token_ids
        assert done.problems == []
        assert done.peak_memory_bytes == 123_456_789
        if graphs:
            captured = 2 if kv_cache else 1  # the prompt's step is another graph where there is a cache
            assert done.graph_compilation is not None and done.graph_compilation.count == captured
            (problem,) = first.problems
            assert f"{captured} CUDA graphs were captured inside" in problem and "--warm-up-limit" in problem
        else:
            assert done.graph_compilation is None and first.problems == []
        times = driver.token_rounds(2)
        assert len(times.first_token_s) == len(times.per_output_token_s) == 2
    assert len(tokens) == 1, "float32 gives the same tokens, captured or not, cached or not"


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(shipped().keys() - {*BLOOMZ, *NOT_CAPTURED}))
def test_a_batch_of_long_prompts_of_another_family(gpu: GroupSpec, model: str) -> None:
    driver = Driver()
    driver.load(msgspec.structs.replace(gpu, model=model, architecture=shipped_model(model).at("standin")))
    tokens = []
    for graphs, kv_cache in itertools.product((False, True), (True, False)):
        driver.prepare(graphs=graphs, kv_cache=kv_cache, batch_size=4, prompt_tokens=40, new_tokens=6)
        driver.rounds(3)
        done = driver.rounds(2)
        tokens.append(done.rows)
        assert len(done.rows) == 4 and done.same_tokens and done.problems == []
        assert (done.graph_compilation is None) is not graphs
    assert tokens == tokens[:1] * 4


@pytest.mark.slow
@pytest.mark.parametrize("kv_cache", [True, False])
def test_positions_that_bfloat16_cannot_count(kv_cache: bool, gpu: GroupSpec) -> None:
    """It ends at 256: who counted in the model's own type would be right with 40 tokens, and wrong with 300."""
    spec = msgspec.structs.replace(gpu, model="llama3.1-8b", dtype="bfloat16")
    driver, tokens = Driver(), {"prompt_tokens": 300, "new_tokens": 3}
    loaded = driver.load(spec)
    configuration = Configuration(model=spec.model, devices=1, graphs=True, kv_cache=kv_cache)
    workload = Workload(dtype="bfloat16", **tokens)
    case = Case(configuration=configuration, accelerator="cuda", workload=workload, scale="standin")
    driver.prepare(graphs=True, kv_cache=kv_cache, **tokens)
    group: Any = SimpleNamespace(loaded=loaded, spec=spec, ask=lambda request, *_, **__: driver.ask(request))
    assert OutputChecker().check(group, case, [driver.rounds(1).token_ids]).problems == []


@no_scaled_product
def test_what_the_tensor_cores_do_not_take_stays_bfloat16(gpu: GroupSpec) -> None:
    """Matrices whose sides are no multiples of 16: of this stand-in those of the experts, which are 88 wide."""
    driver = Driver()
    spec = msgspec.structs.replace(gpu, model="mine", dtype="fp8", architecture=standin_of(published("qwen2_moe")))
    assert driver.load(spec).unquantized is not None
    engine = driver.worker.engine
    assert isinstance(engine, CudaEngine)
    layers = {name: type(module) for name, module in engine._model.named_modules()}
    assert layers["model.layers.0.mlp.experts.3.up_proj"] is torch.nn.Linear
    assert layers["model.layers.0.self_attn.q_proj"] is Float8Linear


def test_the_eager_variant_is_transformers_own_after_a_captured_one(gpu: GroupSpec) -> None:
    driver = Driver()
    driver.load(gpu)
    engine = driver.worker.engine
    assert isinstance(engine, CudaEngine)
    driver.prepare(graphs=True, kv_cache=True)
    assert "build_alibi_tensor" in vars(engine._model.transformer)
    driver.prepare(graphs=False, kv_cache=True)
    assert "build_alibi_tensor" not in vars(engine._model.transformer)


@needs_compiler
@pytest.mark.slow
def test_what_is_compiled_is_captured(
    gpu: GroupSpec, monkeypatch: pytest.MonkeyPatch, without_kernels: Callable[[], None]
) -> None:
    monkeypatch.setenv(STEP, "fused-decode-compiled")
    # Compiled code is out of a tape's sight: a replay runs it again, into the tensor of the capture.
    monkeypatch.setattr(capture, "cuda_graph", _runs_again)
    driver = Driver()
    driver.load(gpu)
    # torch.compile must find no GPU: it would ask for its random state, and for more of its properties.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_device", _no_cuda)
    driver.prepare(graphs=False, kv_cache=True)
    expected = driver.rounds(1).token_ids
    for kv_cache in (True, False):
        driver.prepare(graphs=True, kv_cache=kv_cache)
        first = driver.rounds(3)
        assert first.token_ids == expected
        assert any("torch.compile compiled once inside" in problem for problem in first.problems)
        done = driver.rounds(2)
        assert done.problems == [] and done.token_ids == expected
        assert done.graph_compilation is not None and done.graph_compilation.count == (2 if kv_cache else 1)
        assert done.graph_compilation.seconds is None or done.graph_compilation.seconds > 0.1
        if kv_cache:  # compiled, and nothing captured
            driver.prepare(graphs=False, compiled=True, kv_cache=True)
            assert [driver.rounds(1).token_ids, driver.rounds(1).problems] == [expected, []]
            compiled = driver.rounds(1).graph_compilation
            assert compiled is not None and compiled.count == 1
        without_kernels()  # those of the fused decode step were made; the CPU engine's test makes those of the other


def _no_cuda() -> int:
    raise AssertionError("Torch not compiled with CUDA enabled")


def _runs_again(body: Any) -> tuple[Any, tuple[torch.Tensor, ...]]:
    # Nothing happens at a capture: the cache of transformers 5 counts how often it was used.
    vocabulary = shipped_model("bloomz560m").standin.vocabulary
    outputs = (torch.full((1, 1), -1), torch.full((1, vocabulary), -1.0))

    def replay() -> None:
        for output, made in zip(outputs, body(), strict=True):
            output.copy_(made)

    return replay, outputs


def test_a_host_clock_that_differs_from_the_gpu_s_is_reported(gpu: GroupSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    driver.load(gpu)
    driver.prepare(graphs=False, kv_cache=True)
    driver.rounds(1)
    assert driver.rounds(2).problems == []
    monkeypatch.setattr(Event, "late", 1.0)
    (problem,) = driver.rounds(2).problems
    assert "by the host's clock" in problem and "by CUDA events" in problem
    monkeypatch.setattr(Event, "late", 0.0)
    assert driver.rounds(2).problems == []


def test_a_pytorch_without_cuda_is_a_mistake(spec: GroupSpec) -> None:
    if torch.version.cuda is not None:
        pytest.skip("this PyTorch is built for CUDA")
    group = GroupSpec(engine="cuda", model=spec.model, devices=1, scale="standin", dtype="float32")
    reply = Driver().worker.answer(protocol.Load(group=group))
    assert isinstance(reply, protocol.Failed) and reply.mistake
    assert "built without CUDA" in reply.message and "\n" not in reply.message


def test_what_compiling_costs_is_part_of_what_graphs_cost() -> None:
    engine = CudaEngine()
    engine._captures = capture.Captures(record)
    step = engine._captures.wrap(lambda value: value + 1)
    for _ in range(capture.WARM_CALLS + 1):
        step(torch.ones(1))
    compilations = Compilations()
    compilations._start()
    time.sleep(0.01)
    compilations._end()
    alone = engine.graph_compilation()
    engine._compilations = compilations
    both = engine.graph_compilation()
    assert alone is not None and both is not None and alone.seconds is not None and both.seconds is not None
    assert both.count == alone.count == 1 and both.seconds > alone.seconds + 0.009


def test_batches_are_completed_without_graphs_only(gpu: GroupSpec) -> None:
    driver = Driver()
    driver.load(gpu)
    prompts = [[11, 12, 13, 14], [21, 22]]
    alone: list[list[int]] = []
    for prompt in prompts:
        driver.prepare(graphs=False, kv_cache=True, prompt_tokens=len(prompt))
        alone += driver.worker.answer(protocol.Complete(prompts=[prompt])).token_ids  # type: ignore[union-attr]
    driver.prepare(graphs=False, kv_cache=True, prompt_tokens=4, batch_size=3)
    done = driver.worker.answer(protocol.Complete(prompts=prompts))
    assert isinstance(done, protocol.Completed) and done.token_ids == alone
    driver.prepare(graphs=True, kv_cache=True, prompt_tokens=4, batch_size=3)
    refused = driver.worker.answer(protocol.Complete(prompts=prompts))
    assert isinstance(refused, protocol.Failed) and refused.mistake and "add --eager" in refused.message
