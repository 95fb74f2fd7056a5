"""The CPU: the default where there is no accelerator.

``eager`` is transformers' generate; ``graphs`` is generation with static shapes whose step torch.compile has compiled.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from gaudi_perf.generation.bandwidth import measured_bandwidth
from gaudi_perf.accelerators.base import Accelerator, Engine, Found
from gaudi_perf.generation.compilations import Compilations
from gaudi_perf.accelerators.host import usable_cores
from gaudi_perf.generation.import_patches import leave_out_scikit_learn
from gaudi_perf.generation.prompts import Prompt
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.measurement import GraphCompilation
from gaudi_perf.vocabulary.models import model_named
from gaudi_perf.vocabulary.outputs import TokenTrace
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import PROMPT_TOKENS

if TYPE_CHECKING:
    from gaudi_perf.generation.plain import PlainGeneration
    from gaudi_perf.generation.static import CachedStaticGeneration, UncachedStaticGeneration

_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_AFFINITY", "LD_PRELOAD", "ATEN_CPU_CAPABILITY")


class CpuAccelerator(Accelerator):
    """The controller's side."""

    name = "cpu"
    kind = "cpu"
    default_scale = "standin"
    shared = True

    def __init__(self, processes: int = 1) -> None:
        """The CPU, for a number of processes.

        Args:
            processes: how many ranks may share the CPU, as if each had a device.
        """
        self._processes = processes

    def find(self) -> Found:
        """One CPU for every process that was asked for, each with its share of the machine's memory."""
        memory = psutil.virtual_memory().total // self._processes
        return Found(name="cpu", count=self._processes, memory_bytes=memory)

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Few threads, and nothing that starts processes of its own.

        Stand-ins are so small that a second thread gains nothing, and beside a busy neighbour it loses much: threads
        that wait for each other wait for the slowest core.
        """
        alone = 1 if group.scale == "standin" else max(1, _physical_cores() // group.devices)
        threads = group.threads or _told_threads() or alone
        return {
            "OMP_NUM_THREADS": str(threads),
            "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
            "TORCHINDUCTOR_CACHE_DIR": str(compiler_cache()),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # else a pool of processes
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        """``graphs`` needs a compiler."""
        if variant_graphs and _compiler() is None:
            return (
                "graphs on the CPU are compiled by torch.compile, and no C++ compiler was found: install g++ or set CXX"
            )
        return ""

    def engine(self) -> CpuEngine:
        """The worker's side."""
        return CpuEngine()


class CpuEngine(Engine):
    """Holds a BLOOM model in the memory of the host."""

    def __init__(self) -> None:
        self._model: Any = None
        self._group: GroupSpec | None = None
        self._generation: PlainGeneration | CachedStaticGeneration | UncachedStaticGeneration | None = None
        self._compilations = Compilations()
        self._compilations_before = 0
        self._batch_size = 1
        self._prompt_tokens = PROMPT_TOKENS

    def import_for_ranks(self) -> None:
        """Torch, DeepSpeed and BLOOM."""
        import torch  # noqa: F401

        leave_out_scikit_learn()
        from transformers import BloomForCausalLM  # noqa: F401

        from gaudi_perf.generation.deepspeed import import_deepspeed

        import_deepspeed()

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """Import torch, and make or read the weights."""
        progress("importing torch and transformers")
        import torch

        leave_out_scikit_learn()
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        if group.devices > 1:
            from gaudi_perf.generation.deepspeed import sharded_model

            self._group = group
            self._model = sharded_model(group, CpuAccelerator.backend, progress)
            return
        from gaudi_perf.generation.dummy import dummy_model
        from gaudi_perf.generation.weights import load_model

        shape = model_named(group.model).shape_at(group.scale)
        progress(f"{group.weights.label} weights, {shape.weight_bytes(group.dtype) / 1e9:.2g} GB")
        self._group = group
        self._model = dummy_model(shape, group.dtype) if group.weights.kind == "dummy" else load_model(group)

    def prompt(self) -> Prompt:
        """The prompt for these weights."""
        from gaudi_perf.generation.prompts import prompt_of

        assert self._group is not None
        return prompt_of(self._group)

    def device(self) -> Device:
        """The CPU."""
        return Device(name="cpu", accelerator="cpu", memory_bytes=psutil.virtual_memory().total, available=1)

    def stack(self) -> Stack:
        """PyTorch's version, and what else the latency depends on."""
        import torch

        assert self._group is not None
        public, _, build = torch.__version__.partition("+")
        components = {
            "python": platform.python_version(),
            "pytorch-build": build or "default",
            "transformers": version("transformers"),
            "tokenizers": version("tokenizers"),
            "cpu-capability": torch.backends.cpu.get_cpu_capability(),
            "onednn": _built_with(torch.__config__.show(), "MKL-DNN"),
            "mkl": _built_with(torch.__config__.show(), "Math Kernel Library"),
            "compiler": _compiler_version(),
        }
        settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
        settings["threads"] = str(torch.get_num_threads())
        settings["interop-threads"] = str(torch.get_num_interop_threads())
        return Stack(kind="torch", version=public, components=components, settings=settings)

    def memory_bandwidth(self) -> float | None:
        """Measured with this worker's threads."""
        assert self._group is not None
        weights = model_named(self._group.model).shape_at(self._group.scale).weight_bytes(self._group.dtype)
        return measured_bandwidth(self._model.device, weights, self.synchronize)

    def prepare(self, variant: Variant) -> None:
        """Make the buffers of the variant. ``graphs`` compiles in the first rounds."""
        import torch

        from gaudi_perf.generation.plain import PlainGeneration
        from gaudi_perf.generation.static import CachedStaticGeneration, UncachedStaticGeneration

        assert self._group is not None, "load() comes first"
        self._generation = None  # its buffers are freed first
        self._compilations.reset()
        self._batch_size = variant.batch_size
        self._prompt_tokens = variant.prompt_tokens
        if not variant.graphs:
            self._generation = PlainGeneration(self._model, variant.new_tokens, variant.kv_cache)
            return
        kind = CachedStaticGeneration if variant.kv_cache else UncachedStaticGeneration
        torch.compiler.reset()  # forgets the watchers of compilations, too
        self._compilations.watch()
        self._generation = kind(
            self._model,
            variant.prompt_tokens,
            variant.new_tokens,
            variant.batch_size,
            wrap=lambda step: torch.compile(step, fullgraph=True, dynamic=False),
            ranks=self._group.devices,
        )

    def generate(self, prompt_ids: list[int], on_token: Callable[[], None] | None = None) -> list[int]:
        """Generate; the CPU is done when the call returns."""
        import torch

        assert self._generation is not None, "prepare() comes first"
        prompt = torch.tensor([prompt_ids] * self._batch_size)
        return list(self._generation(prompt, on_token)[0].tolist())

    def trace(self, prompt_ids: list[int], token_ids: list[int], plain: bool) -> TokenTrace:
        """Led along the tokens in the variant's way, or in one pass."""
        import torch

        from gaudi_perf.generation.tracing import Tracer, trace_of_one_pass

        if plain:
            return trace_of_one_pass(self._model, prompt_ids, token_ids, "cpu")
        assert self._generation is not None, "prepare() comes first"
        tracer = Tracer(token_ids)
        self._generation.trace(torch.tensor([prompt_ids] * self._batch_size), tracer)
        return tracer.trace

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        """Of this rank's part."""
        from gaudi_perf.generation.deepspeed import pass_alone

        pass_alone(self._model, self._model.forward, prompt_ids, "cpu")
        return True

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """Complete a batch, padded to the variant's shape."""
        from gaudi_perf.generation.batches import padded

        assert self._generation is not None, "prepare() comes first"
        pad = self._model.config.pad_token_id
        ids, mask = padded(prompts, self._batch_size, self._prompt_tokens, pad, "cpu")
        return list(self._generation(ids, mask=mask)[: len(prompts)].tolist())

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def reset_peak_memory(self) -> None:
        """Have the kernel forget this process's peak (Linux), where it lets us."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def peak_memory_bytes(self) -> int | None:
        """Peak resident memory of this process."""
        with suppress(OSError, ValueError, StopIteration):
            status = Path("/proc/self/status").read_text().splitlines()
            line = next(line for line in status if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def graph_compilation(self) -> GraphCompilation | None:
        """Compilations since the variant was prepared."""
        return self._compilations.total

    def begin_rounds(self) -> None:
        """Remember how many compilations there were."""
        self._compilations_before = self._compilations.count

    def problems(self) -> list[str]:
        """A compilation inside the rounds."""
        return self._compilations.problems_since(self._compilations_before)


def _built_with(configuration: str, component: str) -> str:
    """The version in a line of ``torch.__config__.show()`` like ``- Intel(R) MKL-DNN v3.12.0 (Git Hash ...)``."""
    line = next((line for line in configuration.splitlines() if component in line), "")
    found = re.search(r"(?:v|Version )(\d[\w.]*)", line)
    return found.group(1) if found else "none"


def _told_threads() -> int | None:
    """What the user's own OMP_NUM_THREADS says; in a list for nested levels, the first."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(told) if told.isdecimal() and int(told) > 0 else None


def _physical_cores() -> int:
    return max(1, min(psutil.cpu_count(logical=False) or usable_cores(), usable_cores()))


def _compiler() -> str | None:
    """The C++ compiler that torch.compile will use (torch/_inductor/cpp_builder.py looks for the same)."""
    named = os.environ.get("CXX")
    for candidate in (named,) if named else ("g++", "clang++"):
        found = shutil.which(candidate)
        if found:
            return found
    return None


def _compiler_version() -> str:
    import subprocess

    compiler = _compiler()
    if compiler is None:
        return "none"
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [compiler, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, errors="replace", timeout=10
        )
        return " ".join([Path(compiler).name, *done.stdout.split()[:1]])  # not every compiler knows both words
    return Path(compiler).name


def compiler_cache() -> Path:
    """Where compiled steps are kept between runs: the user's cache directory, not a shared temporary one."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "gaudi-perf" / "inductor"
