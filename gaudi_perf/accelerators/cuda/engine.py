"""NVIDIA GPUs. ``eager`` is transformers' generate; ``graphs`` is generation with static shapes as CUDA graphs.

docs/cuda.md says why ``graphs`` is not transformers' own static cache, and what the steps are.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_perf.generation.bandwidth import measured_bandwidth
from gaudi_perf.accelerators.base import Accelerator, Engine, Found
from gaudi_perf.generation.compilations import Compilations
from gaudi_perf.accelerators.cpu.engine import compiler_cache
from gaudi_perf.accelerators.cuda.clocks import Clocks
from gaudi_perf.accelerators.cuda.devices import MIB, VISIBLE, device_slug, nvidia_smi, visible
from gaudi_perf.accelerators.cuda.stack import cuda_stack
from gaudi_perf.accelerators.cuda.steps import DEFAULT_STEP, STEP, STEPS, step_name
from gaudi_perf.generation.import_patches import leave_out_scikit_learn
from gaudi_perf.generation.prompts import Prompt
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.measurement import GraphCompilation
from gaudi_perf.vocabulary.models import model_named
from gaudi_perf.vocabulary.outputs import TokenTrace
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import PROMPT_TOKENS

if TYPE_CHECKING:
    import torch

    from gaudi_perf.generation.capture import Captures, ConstantAlibi
    from gaudi_perf.generation.plain import PlainGeneration
    from gaudi_perf.generation.static import CachedStaticGeneration, UncachedStaticGeneration


class CudaAccelerator(Accelerator):
    """The controller's side."""

    name = "cuda"
    kind = "cuda"
    telemetry = "nvml"
    batches_with_graphs = False
    backend = "nccl"
    none_found = (
        "no NVIDIA GPU found: nvidia-smi is not there or lists none (install the driver; start a container with "
        "--gpus all; CUDA_VISIBLE_DEVICES must not hide it)"
    )

    def find(self) -> Found | None:
        """What nvidia-smi lists, and CUDA_VISIBLE_DEVICES shows."""
        rows = visible(nvidia_smi("index", "uuid", "name", "memory.total"), os.environ.get(VISIBLE))
        if not rows:
            return None
        _, _, product, memory = rows[0]
        size = int(memory) * MIB if memory.isdecimal() else None
        return Found(name=device_slug(product), count=len(rows), memory_bytes=size)

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Devices in the order of nvidia-smi; what is compiled is kept between runs.

        Raises:
            UserError: the environment variable of the step names none.
        """
        return {
            STEP: step_name(),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
            "TORCHINDUCTOR_CACHE_DIR": str(compiler_cache()),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # else a pool of processes
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        """Several GPUs need DeepSpeed; compiled graphs need Triton and a C compiler."""
        if devices > 1 and importlib.util.find_spec("deepspeed") is None:
            return f'{devices} GPUs need DeepSpeed, which is not installed: pip install -e ".[deepspeed]"'
        chosen = os.environ.get(STEP) or DEFAULT_STEP
        if not variant_graphs or chosen not in STEPS or STEPS[chosen].compiled is None:
            return ""
        if importlib.util.find_spec("triton") is None:
            return f"graphs with {STEP}={chosen} need Triton: pip install triton, or set {STEP}=fused-decode"
        if not any(shutil.which(compiler) for compiler in (os.environ.get("CC") or "gcc", "clang")):
            return f"graphs with {STEP}={chosen} need a C compiler: install gcc, set CC, or set {STEP}=fused-decode"
        return ""

    def engine(self) -> CudaEngine:
        """The worker's side."""
        return CudaEngine()


class CudaEngine(Engine):
    """Holds a BLOOM model, or a rank's part of it, in the memory of one GPU."""

    device_type = "cuda"

    def __init__(self) -> None:
        self._model: Any = None
        self._group: GroupSpec | None = None
        self._generation: PlainGeneration | CachedStaticGeneration | UncachedStaticGeneration | None = None
        self._captures: Captures | None = None
        self._alibi: ConstantAlibi | None = None
        self._compilations = Compilations()
        self._before = (0, 0)
        self._clocks = Clocks()
        self._batch_size, self._prompt_tokens = 1, PROMPT_TOKENS

    def import_for_ranks(self) -> None:
        """Torch, on the GPU of this rank from now on, and DeepSpeed."""
        import torch

        leave_out_scikit_learn()
        from transformers import BloomForCausalLM  # noqa: F401

        from gaudi_perf.generation.deepspeed import import_deepspeed

        _require_gpu()
        index = int(os.environ["LOCAL_RANK"])
        if index >= torch.cuda.device_count():
            raise UserError(f"rank {index} of this host needs a GPU of its own, and PyTorch sees {_seen()}")
        torch.cuda.set_device(index)  # before ranks meet: nccl and DeepSpeed take the current one
        import_deepspeed()

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """Import torch, and make or read the weights; dummy weights are made on the GPU."""
        progress("importing torch and transformers")
        import torch

        leave_out_scikit_learn()
        from gaudi_perf.generation.capture import Captures
        from gaudi_perf.generation.dummy import dummy_model
        from gaudi_perf.generation.weights import load_model

        _require_gpu()
        shape = model_named(group.model).shape_at(group.scale)
        progress(f"{group.weights.label} weights, {shape.weight_bytes(group.dtype) / 1e9:.2g} GB")
        self._group = group
        self._captures = Captures()
        if group.devices > 1:
            from gaudi_perf.generation.deepspeed import sharded_model

            self._model = sharded_model(group, CudaAccelerator.backend, progress, made_on=self.device_type)
        elif group.weights.kind == "dummy":
            self._model = dummy_model(shape, group.dtype, device=self.device_type)
        else:
            self._model = load_model(group).to(self.device_type)
        torch.cuda.empty_cache()

    def prompt(self) -> Prompt:
        """The prompt for these weights."""
        from gaudi_perf.generation.prompts import prompt_of

        assert self._group is not None
        return prompt_of(self._group)

    def device(self) -> Device:
        """The GPU."""
        import torch

        return Device(
            name=device_slug(torch.cuda.get_device_name()),
            accelerator="cuda",
            memory_bytes=int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory),
            available=torch.cuda.device_count(),
        )

    def stack(self) -> Stack:
        """CUDA's version, as PyTorch was built with; driver, libraries, and how the GPU is set."""
        return cuda_stack()

    def memory_bandwidth(self) -> float | None:
        """Measured on this GPU."""
        assert self._group is not None
        weights = model_named(self._group.model).shape_at(self._group.scale).weight_bytes(self._group.dtype)
        bandwidth = measured_bandwidth(self._model.device, weights // self._group.devices, self.synchronize)
        self._release()
        return bandwidth

    def prepare(self, variant: Variant) -> None:
        """Make the buffers of the variant. ``graphs`` compiles and captures in the first rounds."""
        from gaudi_perf.generation.plain import PlainGeneration

        assert self._captures is not None
        self.close()  # graphs and their buffers are freed first
        self._compilations.reset()
        self._captures.reset()
        self._clocks.forget()
        self._batch_size, self._prompt_tokens = variant.batch_size, variant.prompt_tokens
        if variant.graphs:
            self._generation = self._static(variant, self._captures)
        else:
            self._generation = PlainGeneration(self._model, variant.new_tokens, variant.kv_cache)

    def generate(self, prompt_ids: list[int], on_token: Callable[[], None] | None = None) -> list[int]:
        """Generate; the tokens are the only thing that the host waits for."""
        import torch

        assert self._generation is not None, "prepare() comes first"
        taking = self._clocks.begin()
        prompt = torch.tensor([prompt_ids] * self._batch_size, device=self.device_type)
        output = self._generation(prompt, on_token)[0]
        taking.enqueued()
        tokens = list(output.tolist())
        taking.ended()
        return tokens

    def trace(self, prompt_ids: list[int], token_ids: list[int], plain: bool) -> TokenTrace:
        """Led along the tokens in the variant's way (captured steps are replayed), or in one pass."""
        import torch

        from gaudi_perf.generation.tracing import Tracer, trace_of_one_pass

        if plain:
            return trace_of_one_pass(self._model, prompt_ids, token_ids, self._model.device)
        assert self._generation is not None, "prepare() comes first"
        tracer = Tracer(token_ids)
        self._generation.trace(torch.tensor([prompt_ids] * self._batch_size, device=self._model.device), tracer)
        return tracer.trace

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        """Of this rank's part."""
        from gaudi_perf.generation.deepspeed import pass_alone

        pass_alone(self._model, self._model.forward, prompt_ids, self.device_type)
        return True

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """Complete a batch, padded to the variant's shape; what is captured knows no padding, so eagerly only.

        Raises:
            UserError: the variant has graphs.
        """
        from gaudi_perf.generation.batches import padded
        from gaudi_perf.generation.plain import PlainGeneration

        if not isinstance(self._generation, PlainGeneration):
            raise UserError("on a GPU batches are completed without graphs so far: add --eager")
        pad = self._model.config.pad_token_id
        ids, mask = padded(prompts, self._batch_size, self._prompt_tokens, pad, self._model.device)
        return list(self._generation(ids, mask=mask)[: len(prompts)].tolist())

    def synchronize(self) -> None:
        """Wait for the GPU."""
        import torch

        torch.cuda.synchronize()

    def reset_peak_memory(self) -> None:
        """Forget the peak."""
        import torch

        torch.cuda.reset_peak_memory_stats()

    def peak_memory_bytes(self) -> int | None:
        """The most that PyTorch's allocator held; what a captured graph holds is among it."""
        import torch

        return int(torch.cuda.max_memory_reserved())

    def graph_compilation(self) -> GraphCompilation | None:
        """Captures since the variant was prepared, and the time of compiling what was captured."""
        assert self._captures is not None
        captured, compiled = self._captures.total, self._compilations.total
        if captured is None or compiled is None:
            return captured
        known = captured.seconds is not None and compiled.seconds is not None
        seconds = (captured.seconds or 0.0) + (compiled.seconds or 0.0) if known else None
        return GraphCompilation(seconds=seconds, count=captured.count)

    def begin_rounds(self) -> None:
        """Remember how much was compiled and captured."""
        assert self._captures is not None
        self._before = (self._compilations.count, self._captures.count)
        self._clocks.forget()

    def problems(self) -> list[str]:
        """A compilation or a capture inside the rounds; a host clock that differs from the GPU's."""
        assert self._captures is not None
        compiled, captured = self._before
        found = self._compilations.problems_since(compiled)
        more = self._captures.count - captured
        if more > 0:
            found.append(
                f"{more} CUDA graphs were captured inside the timed rounds: allow more warm-up (--warm-up-limit)"
            )
        return found + self._clocks.problems()

    def _static(self, variant: Variant, captures: Captures) -> CachedStaticGeneration | UncachedStaticGeneration:
        import torch

        from gaudi_perf.generation.capture import ConstantAlibi
        from gaudi_perf.generation.fused_decode import FusedDecodeGeneration
        from gaudi_perf.generation.static import CachedStaticGeneration, UncachedStaticGeneration

        kind = STEPS[step_name()]
        if kind.compiled is not None:
            torch.compiler.reset()  # forgets the watchers of compilations, too
            self._compilations.watch()

        def wrap(step: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
            if kind.compiled is not None:
                step = torch.compile(step, fullgraph=True, dynamic=False, options=dict(kind.compiled))
            return captures.wrap(step)

        assert self._group is not None
        sizes, ranks = (variant.prompt_tokens, variant.new_tokens, variant.batch_size), self._group.devices
        generation: CachedStaticGeneration | UncachedStaticGeneration
        if not variant.kv_cache:
            generation = UncachedStaticGeneration(self._model, *sizes, wrap=wrap, ranks=ranks)
        # The prompt's step runs once, and transformers 5 asks not to compile it.
        elif kind.fused:
            generation = FusedDecodeGeneration(
                self._model,
                *sizes,
                wrap=wrap,
                wrap_prompt=captures.wrap,
                biases_apart=kind.compiled is not None,
                ranks=ranks,
            )
        else:
            generation = CachedStaticGeneration(self._model, *sizes, wrap=wrap, wrap_prompt=captures.wrap, ranks=ranks)
        self._alibi = ConstantAlibi(self._model, generation.mask)
        return generation

    def close(self) -> None:
        """Destroy captured graphs: NCCL waits for the end of those that hold collectives before it parts."""
        self._generation = None
        if self._alibi is not None:
            self._alibi.remove()
            self._alibi = None
        self._release()

    def _release(self) -> None:
        """Give what is free back to the GPU."""
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()


def _require_gpu() -> None:
    """Make sure that PyTorch sees a GPU.

    Raises:
        UserError: it does not.
    """
    import torch

    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise UserError(
            f"no GPU is available to PyTorch {torch.__version__}, which is built {built}: install a build for the "
            "driver that nvidia-smi shows"
        )


def _seen() -> str:
    import torch

    count = torch.cuda.device_count()
    shown = os.environ.get(VISIBLE)
    return f"{count}" + ("" if shown is None else f" ({VISIBLE}={shown})")
