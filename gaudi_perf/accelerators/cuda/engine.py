"""The GPU's worker: ``eager`` is transformers' generate, ``graphs`` static shapes as CUDA graphs, ``compile`` static
shapes whose step torch.compile compiles.

docs/cuda.md says why ``graphs`` is not transformers' own static cache, and what the steps are.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gaudi_perf.accelerators.cuda.capture import Captures, ConstantAlibi
from gaudi_perf.accelerators.cuda.devices import VISIBLE, device_slug
from gaudi_perf.accelerators.cuda.stack import cuda_stack
from gaudi_perf.accelerators.cuda.steps import STEPS, step_name
from gaudi_perf.accelerators.torch_engine import Generation, TorchEngine
from gaudi_perf.generation.float8 import GRAIN, quantize, scaled_product
from gaudi_perf.generation.fused_decode import FusedDecodeGeneration
from gaudi_perf.generation.static import kind_of
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import GraphCompilation
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import FP8

_DIFFER_S, _DIFFER_SHARE = 0.001, 0.02
"""Host clock and device clock of a generation may differ by so much: a launch, a copy of the tokens."""


class Clocks:
    """Durations of generations by the host's clock, checked against CUDA events."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, Any, Any]] = []

    @contextmanager
    def timed(self) -> Iterator[Callable[[], None]]:
        """Time a generation. What it gives is to be called when all is asked of the device, and not yet waited for."""
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin = time.perf_counter()
        first.record()
        yield last.record
        self._taken.append((time.perf_counter() - begin, first, last))

    def problems(self) -> list[str]:
        """Why they must not be believed. Events must have happened: after a synchronisation."""
        both = [(host_s, first.elapsed_time(last) / 1e3) for host_s, first, last in self._taken]
        differing = [(host, device) for host, device in both if abs(host - device) > _DIFFER_S + _DIFFER_SHARE * device]
        # A host that was taken away for once is noise; one that does not wait for the GPU differs every time.
        if len(differing) <= len(both) / 2:
            return []
        host_s, device_s = differing[0]
        return [
            f"a round took {host_s:.4f} s by the host's clock and {device_s:.4f} s by CUDA events: the host was taken "
            "away in between, or did not wait for the GPU; measure on a quiet host"
        ]


class CudaEngine(TorchEngine):
    """Holds a model, or a rank's part of it, in the memory of one GPU."""

    device_type = "cuda"
    fills_on_device = True

    def __init__(self) -> None:
        super().__init__()
        self._captures, self._captures_before, self._clocks = Captures(), 0, Clocks()
        self._alibi: ConstantAlibi | None = None

    def import_for_ranks(self) -> None:
        """Take the GPU of this rank from now on: nccl and DeepSpeed use the current one."""
        self.take_device()
        index = int(os.environ["LOCAL_RANK"])
        if index >= torch.cuda.device_count():
            shown = os.environ.get(VISIBLE)
            seen = f"{torch.cuda.device_count()}" + ("" if shown is None else f" ({VISIBLE}={shown})")
            raise UserError(f"rank {index} of this host needs a GPU of its own, and PyTorch sees {seen}")
        torch.cuda.set_device(index)
        super().import_for_ranks()

    def take_device(self) -> None:
        if not torch.cuda.is_available():
            built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
            raise UserError(
                f"no GPU is available to PyTorch {torch.__version__}, which is built {built}: install a build for the "
                "driver that nvidia-smi shows"
            )

    def device(self) -> Device:
        return Device(
            name=device_slug(torch.cuda.get_device_name()),
            accelerator="cuda",
            memory_bytes=int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory),
            available=torch.cuda.device_count(),
        )

    def stack(self) -> Stack:
        return cuda_stack()

    def generate(self, prompts: list[list[int]], on_token: Callable[[], None] | None = None) -> list[list[int]]:
        """Generate, timed by both clocks; the tokens are the only thing that the host waits for."""
        variant, generation = self._prepared()
        with self._clocks.timed() as enqueued:
            ids, mask = self._batch(prompts, variant)
            output = generation(ids, on_token, mask)
            enqueued()
            return list(output.cpu().tolist())

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """Without graphs only: what is captured knows no padding."""
        if self._prepared()[0].graphs:
            raise UserError("on a GPU batches are completed without graphs so far: add --eager")
        return super().complete(prompts)

    def quantize(self, group: GroupSpec, sequences: list[list[int]]) -> None:
        quantize(self._model, lambda: self.passes(sequences), scaled_product, GRAIN)

    def _padded(self, prompts: list[list[int]], variant: Variant) -> tuple[torch.Tensor, torch.Tensor]:
        if self._alibi is not None:
            raise UserError(
                "on a GPU, captured graphs of BLOOM know no padding: give prompts of as many tokens as the workload "
                "says, or take eager or compile"
            )
        return super()._padded(prompts, variant)

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def reset_peak_memory(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak_memory_bytes(self) -> int | None:
        """The most that PyTorch's allocator held; what a captured graph holds is among it."""
        return int(torch.cuda.max_memory_reserved())

    def graph_compilation(self) -> GraphCompilation | None:
        """Captures since the variant was prepared, and the time of compiling what was captured."""
        compiled, captures = super().graph_compilation(), self._captures
        if not captures.count:
            return compiled
        compiling_s = 0.0 if compiled is None else compiled.seconds
        seconds = None if compiling_s is None else round(captures.seconds + compiling_s, 6)
        return GraphCompilation(seconds=seconds, count=captures.count)

    def begin_rounds(self) -> None:
        super().begin_rounds()
        self._captures_before, self._clocks = self._captures.count, Clocks()

    def problems(self) -> list[str]:
        found = super().problems()
        more = self._captures.count - self._captures_before
        if more > 0:
            found.append(
                f"{more} CUDA graphs were captured inside the timed rounds: allow more warm-up (--warm-up-limit)"
            )
        return found + self._clocks.problems()

    def static_generation(self, variant: Variant) -> Generation:
        """Captured; or compiled, and nothing captured."""
        if variant.compiled:
            return self.compiled_generation(variant)
        kind = STEPS[step_name()]
        if kind.compiled is not None:
            self._compilations.watch()

        def wrap(step: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
            if kind.compiled is not None:
                step = torch.compile(step, fullgraph=True, dynamic=False, options=dict(kind.compiled))
            return self._captures.wrap(step)

        make, of_bloom = kind_of(self._model, variant.kv_cache), self._group.built.family == "bloom"
        # The fused step reads the weights of layers itself, which in FP8 have scales.
        if variant.kv_cache and kind.fused and of_bloom and self._group.dtype not in FP8:
            make = FusedDecodeGeneration
        generation = make(
            self._model,
            variant.prompt_tokens,
            variant.new_tokens,
            variant.batch_size,
            wrap=wrap,
            wrap_prompt=self._captures.wrap,  # once a round, and transformers 5 asks not to compile it
            ranks=self._group.devices,
        )
        if of_bloom:
            self._alibi = ConstantAlibi(self._model, generation.mask)
        return generation

    def close(self) -> None:
        """Destroy captured graphs: NCCL waits for the end of those that hold collectives before it parts."""
        super().close()
        self._captures, self._captures_before = Captures(), 0
        if self._alibi is not None:
            self._alibi.remove()
            self._alibi = None
        self.release_memory()

    def release_memory(self) -> None:
        gc.collect()
        torch.cuda.empty_cache()
