"""Generation by transformers' own ``generate``: what ``eager`` measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from gaudi_perf.generation.tracing import Tracer
from gaudi_perf.vocabulary.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class PlainGeneration:
    """Generation of a fixed number of tokens, whatever tokens come out."""

    def __init__(
        self, model: PreTrainedModel, new_tokens: int, kv_cache: bool, search: Mapping[str, int | float] | None = None
    ) -> None:
        """Replaces the model's own generation configuration; it is greedy, unless a search is given (the arguments
        ``num_beams``, or ``penalty_alpha`` and ``top_k``, of ``GenerationConfig``).
        Raises UserError if this transformers has the search as code of the hub only.
        """
        self._model, self._new_tokens, self._search = model, new_tokens, dict(search or {})
        if "top_k" in self._search and not hasattr(model, "_contrastive_search"):
            raise UserError(
                "this release of transformers has contrastive search as code of the hub only, which is never run: "
                "install transformers 4.55, or leave penalty_alpha and top_k out of the workload"
            )
        self._arguments: dict[str, Any] = {}
        self._config = GenerationConfig(
            max_new_tokens=new_tokens,
            do_sample=False,
            use_cache=kv_cache,
            eos_token_id=None,
            pad_token_id=model.config.pad_token_id,
            **self._search,
        )
        # generate() takes what is unset in ours from the model's own, the end-of-sequence token above all: it would
        # stop there, or with a minimum of new tokens forbid that token and give others than the model's.
        model.generation_config = self._config

    def __call__(
        self,
        prompt: torch.Tensor,
        on_token: Callable[[], None] | None = None,
        mask: torch.Tensor | None = None,
        tracer: Tracer | None = None,
    ) -> torch.Tensor:
        """The new tokens, (batch, new tokens), for a prompt (batch, prompt tokens); ``mask`` is 0 where padded, and
        ``tracer`` leads the generation.
        """
        more: dict[str, Any] = {} if tracer is None else {"logits_processor": LogitsProcessorList([tracer])}
        if on_token is not None and self._search:  # generate() has no streamer for several beams
            more["stopping_criteria"] = StoppingCriteriaList([StepTicker(on_token)])
        elif on_token is not None:
            more["streamer"] = Ticker(on_token)
        output = self._model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt) if mask is None else mask,
            generation_config=self._config,
            **self._arguments,
            **more,
        )
        return output[:, prompt.shape[1] : prompt.shape[1] + self._new_tokens]


class Ticker(BaseStreamer):  # type: ignore[misc]
    """Calls a function for every new token; ``generate`` gives a streamer the prompt first."""

    def __init__(self, on_token: Callable[[], None]) -> None:
        self._on_token = on_token
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Take new tokens, or at first the prompt."""
        if self._prompt_seen:
            self._on_token()
        self._prompt_seen = True

    def end(self) -> None:
        """Nothing is left to do."""


class StepTicker(StoppingCriteria):  # type: ignore[misc]
    """Calls a function after every step of a search, which it never stops."""

    def __init__(self, on_token: Callable[[], None]) -> None:
        self._on_token = on_token

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **more: Any) -> torch.Tensor:
        """Whether all sequences end here: optimum-habana takes the truth of it, whatever their number."""
        input_ids[0, -1].item()  # wait for it
        self._on_token()
        return torch.tensor(False, device=input_ids.device)
