"""Kernels that are wrong in one variant: what a faster implementation may do by mistake."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

LINE = 9
"""The line of the cache that keeps what the line before it holds."""


def wrong_kernel(injected: dict[str, Any] | None, words: set[str]) -> Callable[[], AbstractContextManager[None]]:
    """What to enter around a generation: ``{"kind": "alibi" | "slopes" | "stale" | "all-reduce", "when": ["graphs"]}``.

    ``"rank": 1`` makes it wrong there alone.
    """
    if injected is None or not set(injected["when"]) <= words:
        return nullcontext
    if str(injected.get("rank", os.environ.get("RANK", "0"))) != os.environ.get("RANK", "0"):
        return nullcontext
    kinds = {"alibi": _alibi_off_by_one, "slopes": _steeper_alibi, "stale": _stale_line, "all-reduce": _forgotten_sum}
    return _patching(kinds[injected["kind"]])


def _patching(
    make: Callable[[], list[tuple[Any, str, Any]]],
) -> Callable[[], AbstractContextManager[None]]:
    patches: list[tuple[Any, str, Any]] = []  # made once: what is compiled looks at the very objects

    @contextmanager
    def patched() -> Iterator[None]:
        if not patches:
            patches.extend(make())
        right = [(where, name, getattr(where, name)) for where, name, _ in patches]
        for where, name, wrong in patches:
            setattr(where, name, wrong)
        try:
            yield
        finally:
            for where, name, value in right:
                setattr(where, name, value)

    return patched


def _alibi_off_by_one() -> list[tuple[Any, str, Any]]:
    """The bias of every position is that of the one before, and the first has that of the last."""
    where, name = _module("build_alibi_tensor", "gaudi_bloom_build_alibi_tensor")
    right = getattr(where, name)
    return [(where, name, lambda *args, **more: right(*args, **more).roll(1, dims=-1))]


def _steeper_alibi() -> list[tuple[Any, str, Any]]:
    """Every bias is too large by half: a step and a pass over all tokens agree in that."""
    where, name = _module("build_alibi_tensor", "gaudi_bloom_build_alibi_tensor")
    right = getattr(where, name)
    return [(where, name, lambda *args, **more: right(*args, **more) * 1.5)]


def _stale_line() -> list[tuple[Any, str, Any]]:
    gaudi = _gaudi()
    if gaudi is not None:
        right = gaudi.update

        def update(prev: Any, cur: Any, dim: int, idx: Any) -> Any:
            return _stale(right(prev, cur, dim, idx), 1 if dim == 1 else 2)

        return [(gaudi, "update", update)]
    from transformers.cache_utils import DynamicLayer

    right_update = DynamicLayer.update

    @functools.wraps(right_update)
    def update_layer(self: Any, *args: Any, **more: Any) -> Any:
        right_update(self, *args, **more)
        self.keys, self.values = _stale(self.keys, 2), _stale(self.values, 2)
        return self.keys, self.values

    return [(DynamicLayer, "update", update_layer)]


def _forgotten_sum() -> list[tuple[Any, str, Any]]:
    """A rank takes part in the all-reduce, and goes on with its own part of the sum."""
    if "RANK" not in os.environ:
        return []
    import deepspeed.comm

    def forgetting(right: Any) -> Any:
        return lambda tensor, *args, **more: right(tensor.clone(), *args, **more)

    names = ("all_reduce", "inference_all_reduce")
    return [(deepspeed.comm, name, forgetting(getattr(deepspeed.comm, name))) for name in names]


def _stale(lines: Any, dim: int) -> Any:
    if lines.shape[dim] <= LINE:
        return lines
    lines = lines.clone()
    lines.select(dim, LINE).copy_(lines.select(dim, LINE - 1))
    return lines


def _module(of_transformers: str, of_gaudi: str) -> tuple[Any, str]:
    gaudi = _gaudi()
    if gaudi is not None:
        return gaudi, of_gaudi
    from transformers.models.bloom import modeling_bloom

    return modeling_bloom, of_transformers


def _gaudi() -> Any:
    import sys

    return sys.modules.get("optimum.habana.transformers.models.bloom.modeling_bloom")
