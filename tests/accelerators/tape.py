"""A stand-in for CUDA graphs on the CPU: records what a function asks of the device, and does it again.

It keeps to the rules of a capture: what is recorded has not happened, only a replay makes it happen, on the very
tensors that were recorded; and whatever would make a host wait for its device, or bring numbers from it, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REFUSED = ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::lift_fresh")
"""Reading a number back, and making a tensor of numbers that the host holds (``torch.tensor(1.0, device=...)``)."""


class Tape(TorchDispatchMode):
    """Records operations while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._undo: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in REFUSED:
            raise RuntimeError(f"{func}: operation not permitted when stream is capturing")
        kwargs = kwargs or {}
        if changes(func):
            self._undo += [(tensor, tensor.clone()) for tensor in tensors(args, kwargs)]
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        return result

    def undo(self) -> None:
        """A capture computes nothing: buffers are as before, and what it has made is worthless."""
        for tensor, before in reversed(self._undo):
            tensor.copy_(before)
        for func, args, kwargs, result in self.calls:
            if not changes(func) and not is_view(result, args, kwargs):
                for tensor in tensors(result):
                    tensor.fill_(-1 if tensor.dtype.is_signed else 1)

    def replay(self) -> None:
        for func, args, kwargs, result in self.calls:
            if changes(func):
                done = func(*args, **kwargs)
                if is_collective(func):
                    done[-1].wait()
            elif not is_view(result, args, kwargs):
                again = func(*args, **kwargs)
                for mine, new in zip(tensors(result), tensors(again), strict=True):
                    mine.copy_(new)


def record(body: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
    """What ``capture.cuda_graph`` does, on the CPU."""
    tape = Tape()
    with tape:
        output = body()
    tape.undo()
    return tape.replay, output


def is_collective(func: Any) -> bool:
    """torch.distributed's own, whose schemas do not say that they write."""
    return func.namespace == "c10d"


def changes(func: Any) -> bool:
    return func._schema.is_mutable or is_collective(func)


def tensors(*values: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor))


def is_view(result: Any, args: Any, kwargs: Any) -> bool:
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors(args, kwargs)}
    return any(tensor.untyped_storage().data_ptr() in storages for tensor in tensors(result))
