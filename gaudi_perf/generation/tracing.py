"""Leads a generation along given tokens, and keeps the logits of every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from gaudi_perf.vocabulary.errors import NotNumbersError
from gaudi_perf.vocabulary.outputs import TokenTrace

_LIKELIEST = 8
_SAMPLE = 128
_DIGITS = 7


class Tracer(LogitsProcessor):  # type: ignore[misc]
    """Takes the logits of one step after the other, and says which token comes next.

    ``generate`` takes it as a logits processor, which leaves one token only.
    """

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids = list(token_ids)
        self._kept: dict[str, list[Any]] = {
            name: [] for name in ("likeliest", "logits", "followed", "spread", "magnitude", "sample")
        }

    def take(self, logits: torch.Tensor) -> int:
        """Keep the logits of a step, of shape (vocabulary,); the token to go on with.

        Raises:
            NotNumbersError: a logit is infinite, or no number.
        """
        step = len(self._kept["followed"])
        token = self._token_ids[step]
        values = logits.detach().to("cpu", torch.float32)
        if not bool(values.isfinite().all()):
            raise NotNumbersError(f"the logits of step {step + 1} are not all numbers")
        top = values.topk(min(_LIKELIEST, values.numel()))
        # topk may order equal logits otherwise than argmax, which is what generation takes.
        best = int(values.argmax())
        ids = [best, *(int(index) for index in top.indices if int(index) != best)][:_LIKELIEST]
        sample = values[:: max(1, values.numel() // _SAMPLE)]
        self._kept["likeliest"].append(ids)
        self._kept["logits"].append(_rounded(values[ids]))
        self._kept["followed"] += _rounded(values[token].reshape(1))
        self._kept["spread"].append(float(sample.std(correction=0)))
        self._kept["magnitude"].append(float(sample.abs().mean()))
        self._kept["sample"].append(_rounded(sample))
        return token

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of a step, of which one token is left."""
        led = torch.full_like(scores, float("-inf"))
        led[:, self.take(scores[0])] = 0.0
        return led

    def follow(self, logits: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """The token to go on with, for a static generation: shape and type of the one that it would have taken."""
        return torch.full_like(token, self.take(logits[0]))

    @property
    def trace(self) -> TokenTrace:
        """What was kept."""
        return TokenTrace(token_ids=self._token_ids, **self._kept)


def trace_of_one_pass(forward: Any, prompt_ids: Sequence[int], token_ids: Sequence[int], device: Any) -> TokenTrace:
    """The same by one pass of the model's own, eager ``forward``: no cache, no graph, no step that could go wrong."""
    tracer = Tracer(token_ids)
    ids = torch.tensor([[*prompt_ids, *token_ids[:-1]]], device=device)
    with torch.inference_mode():
        logits = forward(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        for row in logits[0, len(prompt_ids) - 1 :].cpu():
            tracer.take(row)
    return tracer.trace


def _rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
