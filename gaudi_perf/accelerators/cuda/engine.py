"""The GPU's worker: ``eager`` is transformers' generate, ``graphs`` static shapes as CUDA graphs.

docs/cuda.md says why ``graphs`` is not transformers' own static cache, and what the steps are.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial

import torch

from gaudi_perf.accelerators.cuda.clocks import Clocks
from gaudi_perf.accelerators.cuda.devices import VISIBLE, device_slug
from gaudi_perf.accelerators.cuda.stack import cuda_stack
from gaudi_perf.accelerators.cuda.steps import STEPS, step_name
from gaudi_perf.accelerators.torch_engine import Generation, TorchEngine
from gaudi_perf.generation.capture import Captures, ConstantAlibi
from gaudi_perf.generation.compilations import Compilations
from gaudi_perf.generation.fused_decode import FusedDecodeGeneration
from gaudi_perf.generation.static import CachedStaticGeneration, UncachedStaticGeneration
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import GraphCompilation
from gaudi_perf.vocabulary.stack import Device, Stack


class CudaEngine(TorchEngine):
    """Holds a BLOOM model, or a rank's part of it, in the memory of one GPU."""

    device_type = "cuda"
    fills_on_device = True

    def __init__(self) -> None:
        super().__init__()
        self._captures = Captures()
        self._captures_before = 0
        self._alibi: ConstantAlibi | None = None
        self._compilations = Compilations()
        self._clocks = Clocks()

    def import_for_ranks(self) -> None:
        """Take the GPU of this rank from now on: nccl and DeepSpeed use the current one."""
        self.take_device()
        index = int(os.environ["LOCAL_RANK"])
        if index >= torch.cuda.device_count():
            raise UserError(f"rank {index} of this host needs a GPU of its own, and PyTorch sees {_seen()}")
        torch.cuda.set_device(index)
        super().import_for_ranks()

    def take_device(self) -> None:
        """See that PyTorch has a GPU."""
        if not torch.cuda.is_available():
            built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
            raise UserError(
                f"no GPU is available to PyTorch {torch.__version__}, which is built {built}: install a build for the "
                "driver that nvidia-smi shows"
            )

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """As every engine; dummy weights are made on the GPU."""
        super().load(group, progress)
        self._release()

    def device(self) -> Device:
        """The GPU."""
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
        bandwidth = super().memory_bandwidth()
        self._release()
        return bandwidth

    def generate(self, prompt_ids: list[int], on_token: Callable[[], None] | None = None) -> list[int]:
        """Generate, timed by both clocks; the tokens are the only thing that the host waits for."""
        variant, generation = self._prepared()
        timing = self._clocks.begin()
        output = generation(self._batch(prompt_ids, variant), on_token)[0]
        timing.enqueued()
        tokens = self._tokens(output)
        timing.ended()
        return tokens

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """Complete a batch; what is captured knows no padding, so without graphs only.

        Raises:
            UserError: the variant has graphs.
        """
        if self._prepared()[0].graphs:
            raise UserError("on a GPU batches are completed without graphs so far: add --eager")
        return super().complete(prompts)

    def synchronize(self) -> None:
        """Wait for the GPU."""
        torch.cuda.synchronize()

    def reset_peak_memory(self) -> None:
        """Forget the peak."""
        torch.cuda.reset_peak_memory_stats()

    def peak_memory_bytes(self) -> int | None:
        """The most that PyTorch's allocator held; what a captured graph holds is among it."""
        return int(torch.cuda.max_memory_reserved())

    def graph_compilation(self) -> GraphCompilation | None:
        """Captures since the variant was prepared, and the time of compiling what was captured."""
        captured, compiled = self._captures.total, self._compilations.total
        if captured is None or compiled is None:
            return captured
        known = captured.seconds is not None and compiled.seconds is not None
        seconds = (captured.seconds or 0.0) + (compiled.seconds or 0.0) if known else None
        return GraphCompilation(seconds=seconds, count=captured.count)

    def begin_rounds(self) -> None:
        """Remember how much was compiled and captured."""
        self._compilations.begin_rounds()
        self._captures_before = self._captures.count
        self._clocks.forget()

    def problems(self) -> list[str]:
        """A compilation or a capture inside the rounds; a host clock that differs from the GPU's."""
        found = self._compilations.problems()
        more = self._captures.count - self._captures_before
        if more > 0:
            found.append(
                f"{more} CUDA graphs were captured inside the timed rounds: allow more warm-up (--warm-up-limit)"
            )
        return found + self._clocks.problems()

    def static_generation(self, variant: Variant) -> Generation:
        """Its steps are captured, of some kinds compiled before."""
        kind = STEPS[step_name()]
        if kind.compiled is not None:
            self._compilations.watch()

        def wrap(step: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
            if kind.compiled is not None:
                step = torch.compile(step, fullgraph=True, dynamic=False, options=dict(kind.compiled))
            return self._captures.wrap(step)

        make: Callable[..., CachedStaticGeneration | UncachedStaticGeneration] = CachedStaticGeneration
        if not variant.kv_cache:
            make = UncachedStaticGeneration
        elif kind.fused:
            make = partial(FusedDecodeGeneration, biases_apart=kind.compiled is not None)
        generation = make(
            self._model,
            variant.prompt_tokens,
            variant.new_tokens,
            variant.batch_size,
            wrap=wrap,
            wrap_prompt=self._captures.wrap,  # once a round, and transformers 5 asks not to compile it
            ranks=self._loaded().devices,
        )
        self._alibi = ConstantAlibi(self._model, generation.mask)
        return generation

    def close(self) -> None:
        """Destroy captured graphs: NCCL waits for the end of those that hold collectives before it parts."""
        super().close()
        self._captures.reset()
        self._compilations.reset()
        self._clocks.forget()
        if self._alibi is not None:
            self._alibi.remove()
            self._alibi = None
        self._release()

    def _release(self) -> None:
        """Give what is free back to the GPU."""
        gc.collect()
        torch.cuda.empty_cache()


def _seen() -> str:
    count = torch.cuda.device_count()
    shown = os.environ.get(VISIBLE)
    return f"{count}" + ("" if shown is None else f" ({VISIBLE}={shown})")
