"""Captured steps: a step with static shapes is recorded once, and replayed without Python and without the host.

At batch 1 a GPU waits for its host: the kernels of a token take a few milliseconds, launching them one by one several
times as long. A replay launches all of them at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import BloomForCausalLM

WARM_CALLS = 2
"""Calls of a step before the one at which it is captured."""

Step = Callable[..., Any]
Replay = Callable[[], None]
Capture = Callable[[Callable[[], Any]], "tuple[Replay, Any]"]
"""Records what a function asks of the device: how to replay it, and the tensors that each replay fills anew."""


def cuda_graph(body: Callable[[], Any]) -> tuple[Replay, Any]:
    """Capture as a CUDA graph. Nothing is computed before the first replay."""
    in_a_group = torch.distributed.is_available() and torch.distributed.is_initialized()
    graph = torch.cuda.CUDAGraph()
    # Among several ranks, NCCL's watchdog is a thread that asks for events at any time, which the default mode would
    # take for part of the capture (pytorch/pytorch#104487, #148594). What this thread asks for is checked in either.
    with torch.cuda.graph(graph, capture_error_mode="thread_local" if in_a_group else "global"):
        output = body()
    return graph.replay, output


class Captures:
    """Makes captured steps (CUDA graphs, unless captured otherwise), and counts and times the captures."""

    def __init__(self, capture: Capture | None = None) -> None:
        self._capture = capture or cuda_graph
        self.count, self.seconds = 0, 0.0

    def wrap(self, step: Step) -> Step:
        """The form of a step that is captured at its third call; its result is overwritten by the next call.

        The first two run as they are: they load kernels, compile, and make workspaces, all of which a capture forbids.
        They are calls like any other, so that a step that keeps a state (the cache of transformers 5 counts its
        positions) runs as often as it is called.
        """
        calls = 0
        inputs: tuple[torch.Tensor, ...] = ()
        replay: Replay | None = None
        output: Any = None

        def captured(*given: torch.Tensor) -> Any:
            nonlocal calls, inputs, output, replay
            calls += 1
            inputs = inputs or tuple(tensor.clone() for tensor in given)
            for mine, theirs in zip(inputs, given, strict=True):
                mine.copy_(theirs)
            if calls <= WARM_CALLS:
                return step(*inputs)
            if replay is None:
                begin = time.perf_counter()
                replay, output = self._capture(lambda: step(*inputs))
                self.seconds += time.perf_counter() - begin
                self.count += 1
            replay()
            return output

        return captured


class ConstantAlibi:
    """Takes BLOOM's position bias out of its steps, from now until it is removed.

    It is the same in every step with static shapes, but transformers makes it anew: with numbers from the host, which a
    capture forbids (``torch.tensor(base, device=...)`` in ``build_alibi_tensor``, 4.55 and 5).
    """

    def __init__(self, model: BloomForCausalLM, mask: torch.Tensor) -> None:
        """``mask`` is that of every step, (batch, positions), all ones; for other shapes the model makes its own."""
        self._transformer = transformer = model.transformer
        own = transformer.build_alibi_tensor
        shape, alibi = mask.shape, own(mask, transformer.num_heads, dtype=model.dtype)
        self._replaced = vars(transformer).get("build_alibi_tensor")  # DeepSpeed's, which makes it for a rank's heads

        def build(mask: torch.Tensor, heads: int, dtype: torch.dtype) -> torch.Tensor:
            return alibi if mask.shape == shape else own(mask, heads, dtype)

        transformer.build_alibi_tensor = build

    def remove(self) -> None:
        """Let the model make its own again."""
        if self._replaced is None:
            del self._transformer.build_alibi_tensor
        else:
            self._transformer.build_alibi_tensor = self._replaced
