"""NVIDIA GPUs. ``eager`` is transformers' generate; ``graphs`` is generation with static shapes as CUDA graphs.

docs/cuda.md says why ``graphs`` is not transformers' own static cache, and what the steps are.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_perf.runtime.bandwidth import measured_bandwidth
from gaudi_perf.runtime.compilations import Compilations
from gaudi_perf.runtime.engines.base import Accelerator, Engine, Found, Prompt
from gaudi_perf.runtime.engines.cpu import compiler_cache
from gaudi_perf.runtime.nvml import nvml_facts, visible
from gaudi_perf.runtime.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.measurement import GraphCompilation
from gaudi_perf.vocabulary.models import model_named
from gaudi_perf.vocabulary.outputs import TokenTrace
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import PROMPT_TOKENS

if TYPE_CHECKING:
    import torch

    from gaudi_perf.runtime.generation.capture import Captures, ConstantAlibi
    from gaudi_perf.runtime.generation.plain import PlainGeneration
    from gaudi_perf.runtime.generation.static import CachedStaticGeneration, UncachedStaticGeneration

STEP = "GAUDI_PERF_CUDA_STEP"
"""The environment variable that chooses among ``STEPS``."""


@dataclass(frozen=True)
class StepKind:
    """What is captured for a token.

    Attributes:
        lean: our own step (``generation.lean``), not transformers' forward pass; with the KV cache only.
        compiled: by torch.compile, with these options; None for not.
    """

    lean: bool
    compiled: Mapping[str, bool] | None


STEPS: Mapping[str, StepKind] = {
    "transformers": StepKind(lean=False, compiled=None),
    "transformers-compiled": StepKind(lean=False, compiled={}),
    "lean": StepKind(lean=True, compiled=None),
    # Matrix-vector products become Triton kernels, fused with what is around them. They reach the bandwidth of the
    # memory with coordinate descent tuning only (torch/_inductor/decomposition.py, mm).
    "lean-compiled": StepKind(
        lean=True,
        compiled={"coordinate_descent_tuning": True, "coordinate_descent_check_all_directions": True},
    ),
}
DEFAULT_STEP = "lean-compiled"

_MEBIBYTE = 1 << 20
_SLUGS = {
    "NVIDIA A100-SXM4-40GB": "a100-40gb",
    "NVIDIA A100-SXM4-80GB": "a100-80gb",
    "NVIDIA H100 80GB HBM3": "h100-80gb",
}
_SETTINGS = (
    "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "LD_PRELOAD",
)
_CLOCKS_DIFFER_S, _CLOCKS_DIFFER_SHARE = 0.001, 0.02
"""Host clock and device clock of a generation may differ by so much: a launch, a copy of the tokens."""


class CudaAccelerator(Accelerator):
    """The controller's side."""

    name = "cuda"
    kind = "cuda"
    telemetry = "nvml"
    none_found = (
        "no NVIDIA GPU found: nvidia-smi is not there or lists none (install the driver; start a container with "
        "--gpus all; CUDA_VISIBLE_DEVICES must not hide it)"
    )

    def find(self) -> Found | None:
        """What nvidia-smi lists, and CUDA_VISIBLE_DEVICES shows."""
        rows = visible(nvidia_smi("index", "uuid", "name", "memory.total"), os.environ.get("CUDA_VISIBLE_DEVICES"))
        if not rows:
            return None
        _, _, product, memory = rows[0]
        size = int(memory) * _MEBIBYTE if memory.isdecimal() else None
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
        """Several GPUs need rank groups; compiled graphs need Triton and a C compiler."""
        if devices > 1:
            return (
                f"{devices} devices: this engine runs on one GPU so far; several need DeepSpeed-inference over nccl, "
                "which takes no CUDA graphs with model parallelism"
            )
        chosen = os.environ.get(STEP) or DEFAULT_STEP
        if not variant_graphs or chosen not in STEPS or STEPS[chosen].compiled is None:
            return ""
        if importlib.util.find_spec("triton") is None:
            return f"graphs with {STEP}={chosen} need Triton: pip install triton, or set {STEP}=lean"
        if not any(shutil.which(compiler) for compiler in (os.environ.get("CC") or "gcc", "clang")):
            return f"graphs with {STEP}={chosen} need a C compiler: install gcc, set CC, or set {STEP}=lean"
        return ""

    def engine(self) -> CudaEngine:
        """The worker's side."""
        return CudaEngine()


class CudaEngine(Engine):
    """Holds a BLOOM model in the memory of one GPU."""

    device_type = "cuda"

    def __init__(self) -> None:
        self._model: Any = None
        self._group: GroupSpec | None = None
        self._generation: PlainGeneration | CachedStaticGeneration | UncachedStaticGeneration | None = None
        self._captures: Captures | None = None
        self._alibi: ConstantAlibi | None = None
        self._compilations = Compilations()
        self._before = (0, 0)
        self._clocks: list[tuple[float, Any, Any]] = []
        self._batch_size, self._prompt_tokens = 1, PROMPT_TOKENS

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """Import torch, and make or read the weights; dummy weights are made on the GPU."""
        progress("importing torch and transformers")
        import torch

        from gaudi_perf.runtime.generation.capture import Captures
        from gaudi_perf.runtime.generation.dummy import dummy_model
        from gaudi_perf.runtime.generation.weights import load_model

        if not torch.cuda.is_available():
            built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
            raise UserError(
                f"no GPU is available to PyTorch {torch.__version__}, which is built {built}: install a build for the "
                "driver that nvidia-smi shows"
            )
        shape = model_named(group.model).shape_at(group.scale)
        progress(f"{group.weights.label} weights, {shape.weight_bytes(group.dtype) / 1e9:.2g} GB")
        self._group = group
        self._captures = Captures()
        if group.weights.kind == "dummy":
            self._model = dummy_model(shape, group.dtype, device=self.device_type)
        else:
            self._model = load_model(group).to(self.device_type)
        torch.cuda.empty_cache()

    def prompt(self) -> Prompt:
        """The prompt for these weights."""
        from gaudi_perf.runtime.generation.prompts import prompt_of

        assert self._group is not None
        return prompt_of(self._group)

    def device(self) -> Device:
        """The GPU."""
        import torch

        return Device(
            name=device_slug(torch.cuda.get_device_name()),
            accelerator="cuda",
            memory_bytes=int(torch.cuda.get_device_properties(0).total_memory),
            available=torch.cuda.device_count(),
        )

    def stack(self) -> Stack:
        """CUDA's version, as PyTorch was built with; driver, libraries, and how the GPU is set."""
        import torch

        cudnn, nccl = torch.backends.cudnn.version(), nccl_version()
        properties = torch.cuda.get_device_properties(0)
        of_device = nvml_facts(str(getattr(properties, "uuid", "")))
        components = {
            "driver": of_device.driver,
            "cuda-of-driver": of_device.cuda,
            "cudnn": str(cudnn) if cudnn else "none",
            "nccl": nccl,
            "gpu": torch.cuda.get_device_name(),
            "compute-capability": f"{properties.major}.{properties.minor}",
            "python": platform.python_version(),
            "pytorch": torch.__version__,
            "triton": _installed("triton"),
            "transformers": _installed("transformers"),
            "deepspeed": _installed("deepspeed"),
        }
        settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
        settings["step"] = step_name()
        settings.update(of_device.settings)
        return Stack(kind="cuda", version=torch.version.cuda or "0", components=components, settings=settings)

    def memory_bandwidth(self) -> float | None:
        """Measured on this GPU."""
        assert self._group is not None
        weights = model_named(self._group.model).shape_at(self._group.scale).weight_bytes(self._group.dtype)
        bandwidth = measured_bandwidth(self._model.device, weights, self.synchronize)
        self._release()
        return bandwidth

    def prepare(self, variant: Variant) -> None:
        """Make the buffers of the variant. ``graphs`` compiles and captures in the first rounds."""
        from gaudi_perf.runtime.generation.plain import PlainGeneration

        assert self._captures is not None
        self._generation = None  # graphs and their buffers are freed first
        if self._alibi is not None:
            self._alibi.remove()
            self._alibi = None
        self._compilations.reset()
        self._captures.reset()
        self._clocks.clear()
        self._release()
        self._batch_size, self._prompt_tokens = variant.batch_size, variant.prompt_tokens
        if variant.graphs:
            self._generation = self._static(variant, self._captures)
        else:
            self._generation = PlainGeneration(self._model, variant.new_tokens, variant.kv_cache)

    def generate(self, prompt_ids: list[int], on_token: Callable[[], None] | None = None) -> list[int]:
        """Generate; the tokens are the only thing that the host waits for."""
        import torch

        assert self._generation is not None, "prepare() comes first"
        begin, first, last = time.perf_counter(), self._event(), self._event()
        first.record()
        prompt = torch.tensor([prompt_ids] * self._batch_size, device=self.device_type)
        output = self._generation(prompt, on_token)[0]
        last.record()
        tokens = list(output.tolist())
        self._clocks.append((time.perf_counter() - begin, first, last))
        return tokens

    def trace(self, prompt_ids: list[int], token_ids: list[int], plain: bool) -> TokenTrace:
        """Led along the tokens in the variant's way (captured steps are replayed), or in one pass."""
        import torch

        from gaudi_perf.runtime.generation.tracing import Tracer, trace_of_one_pass

        if plain:
            return trace_of_one_pass(self._model, prompt_ids, token_ids, self._model.device)
        assert self._generation is not None, "prepare() comes first"
        tracer = Tracer(token_ids)
        self._generation.trace(torch.tensor([prompt_ids] * self._batch_size, device=self._model.device), tracer)
        return tracer.trace

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """Complete a batch, padded to the variant's shape; what is captured knows no padding, so eagerly only.

        Raises:
            UserError: the variant has graphs.
        """
        from gaudi_perf.runtime.generation.batches import padded
        from gaudi_perf.runtime.generation.plain import PlainGeneration

        if not isinstance(self._generation, PlainGeneration):
            raise UserError("on a GPU datasets are completed without graphs so far: add --eager, or -k eager to pytest")
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
        self._clocks.clear()

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
        differing = [text for host, first, last in self._clocks if (text := _differing(host, _seconds(first, last)))]
        # A host that was taken away for once is noise; one that does not wait for the GPU differs every time.
        often = len(differing) > len(self._clocks) / 2
        self._clocks.clear()
        return found + (differing[:1] if often else [])

    def _static(self, variant: Variant, captures: Captures) -> CachedStaticGeneration | UncachedStaticGeneration:
        import torch

        from gaudi_perf.runtime.generation.capture import ConstantAlibi
        from gaudi_perf.runtime.generation.lean import LeanGeneration
        from gaudi_perf.runtime.generation.static import CachedStaticGeneration, UncachedStaticGeneration

        kind = STEPS[step_name()]
        if kind.compiled is not None:
            torch.compiler.reset()  # forgets the watchers of compilations, too
            self._compilations.watch()

        def wrap(step: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
            if kind.compiled is not None:
                step = torch.compile(step, fullgraph=True, dynamic=False, options=dict(kind.compiled))
            return captures.wrap(step)

        sizes = (variant.prompt_tokens, variant.new_tokens, variant.batch_size)
        generation: CachedStaticGeneration | UncachedStaticGeneration
        if not variant.kv_cache:
            generation = UncachedStaticGeneration(self._model, *sizes, wrap=wrap)
        # The prompt's step runs once, and transformers 5 asks not to compile it.
        elif kind.lean:
            generation = LeanGeneration(
                self._model,
                *sizes,
                wrap=wrap,
                wrap_prompt=captures.wrap,
                biases_apart=kind.compiled is not None,
            )
        else:
            generation = CachedStaticGeneration(self._model, *sizes, wrap=wrap, wrap_prompt=captures.wrap)
        self._alibi = ConstantAlibi(self._model, generation.mask)
        return generation

    def _event(self) -> Any:
        import torch

        return torch.cuda.Event(enable_timing=True)

    def _release(self) -> None:
        """Give what is free back to the GPU."""
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()


def step_name() -> str:
    """Which of ``STEPS`` is captured.

    Raises:
        UserError: the environment variable names none.
    """
    chosen = os.environ.get(STEP) or DEFAULT_STEP
    if chosen not in STEPS:
        raise UserError(f"{STEP}={chosen}: set it to one of {', '.join(STEPS)}, or not at all ({DEFAULT_STEP})")
    return chosen


def device_slug(product: str) -> str:
    """The name of a GPU for documents and directories: ``NVIDIA H100 80GB HBM3`` is ``h100-80gb``."""
    if product in _SLUGS:
        return _SLUGS[product]
    words = re.sub(r"[^a-z0-9.]+", "-", product.lower()).strip("-.")
    return words.removeprefix("nvidia-")[:80] or "gpu"


def nvidia_smi(*fields: str) -> list[list[str]]:
    """Rows of nvidia-smi's query, a list of the fields for each GPU; empty if there is no nvidia-smi or no GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in row] for row in csv.reader(done.stdout.splitlines())]
    return [row for row in rows if len(row) == len(fields)]


def nccl_version() -> str:
    """NCCL's version, as PyTorch was built with it."""
    import torch

    try:
        return ".".join(map(str, torch.cuda.nccl.version()))
    except (AttributeError, RuntimeError, TypeError):
        return "none"


def _seconds(first: Any, last: Any) -> float:
    return float(first.elapsed_time(last)) / 1e3


def _differing(host_s: float, device_s: float) -> str:
    """What to say of a generation whose durations by both clocks do not agree; empty if they do."""
    if abs(host_s - device_s) <= _CLOCKS_DIFFER_S + _CLOCKS_DIFFER_SHARE * device_s:
        return ""
    return (
        f"a round took {host_s:.4f} s by the host's clock and {device_s:.4f} s by CUDA events: the host was taken away "
        "in between, or did not wait for the GPU; measure on a quiet host"
    )


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
