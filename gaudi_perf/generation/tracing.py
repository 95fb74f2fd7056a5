"""Generates with given tokens as input (teacher forcing), and keeps the logits of every step."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from gaudi_perf.vocabulary.errors import NotNumbersError
from gaudi_perf.vocabulary.run import TokenTrace

_LIKELIEST = 8
_SAMPLE = 128
_DIGITS = 7


class Tracer(LogitsProcessor):  # type: ignore[misc]
    """Takes the logits of one step after the other, and says which tokens come next.

    ``generate`` takes it as a logits processor, which leaves one token of each row only.
    """

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        """``rows``: the tokens of the first rows; those after them are led along the same, in turn."""
        self._rows = [_Row(token_ids) for token_ids in rows]

    def take(self, logits: torch.Tensor) -> list[int]:
        """Keep the logits of a step, of shape (rows, vocabulary); the tokens to go on with.
        Raises NotNumbersError if a logit is infinite, or no number.
        """
        tokens = [row.take(values) for row, values in zip(self._rows, logits, strict=False)]
        return [tokens[row % len(tokens)] for row in range(len(logits))]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of a step, of which one token is left in each row."""
        led = torch.full_like(scores, float("-inf"))
        for row, token in enumerate(self.take(scores)):
            led[row, token] = 0.0
        return led

    def follow(self, logits: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """The tokens to go on with, for a static generation: shape and type of those that it would have taken."""
        return torch.tensor(self.take(logits), dtype=token.dtype, device=token.device).reshape(token.shape)

    @property
    def traces(self) -> list[TokenTrace]:
        """What was kept of each row."""
        return [TokenTrace(token_ids=row.token_ids, **row.kept) for row in self._rows]


class _Row:
    """What is kept of a row."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self.token_ids = list(token_ids)
        self.kept: defaultdict[str, list[Any]] = defaultdict(list)

    def take(self, logits: torch.Tensor) -> int:
        """Keep the logits of a step, of shape (vocabulary,); the token to go on with."""
        step = len(self.kept["followed"])
        token = self.token_ids[step]
        values = logits.detach().to("cpu", torch.float32)
        if not bool(values.isfinite().all()):
            raise NotNumbersError(f"the logits of step {step + 1} are not all numbers")
        top = values.topk(min(_LIKELIEST, values.numel()))
        # topk may order equal logits otherwise than argmax, which is what generation takes.
        best = int(values.argmax())
        ids = [best, *(int(index) for index in top.indices if int(index) != best)][:_LIKELIEST]
        sample = values[:: max(1, values.numel() // _SAMPLE)]
        self.kept["likeliest"].append(ids)
        self.kept["logits"].append(_rounded(values[ids]))
        self.kept["followed"] += _rounded(values[token].reshape(1))
        self.kept["spread"].append(float(sample.std(correction=0)))
        self.kept["magnitude"].append(float(sample.abs().mean()))
        self.kept["sample"].append(_rounded(sample))
        return token


def trace_of_one_pass(
    forward: Any, prompt_ids: Sequence[int], token_ids: Sequence[int], device: Any, padding: Sequence[int] = ()
) -> TokenTrace:
    """The same of one row by one pass of the model's own, eager ``forward``: no cache, no graph, no step that could go
    wrong. ``padding`` stands masked before the prompt.
    """
    tracer = Tracer([token_ids])
    ids = torch.tensor([[*padding, *prompt_ids, *token_ids[:-1]]], device=device)
    mask = torch.ones_like(ids)
    mask[:, : len(padding)] = 0
    more = {}
    if padding and "position_ids" in inspect.signature(forward).parameters:
        more["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)  # as generate() has them
    with torch.inference_mode():
        logits = forward(input_ids=ids, attention_mask=mask, use_cache=False, **more).logits
        for row in logits[0, len(padding) + len(prompt_ids) - 1 :].cpu():
            tracer.take(row[None])
    return tracer.traces[0]


def _rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
