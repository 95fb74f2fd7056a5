"""Generation with static shapes: what ``graphs`` measures, since only fixed shapes can be compiled or captured once.

Every step has the same shapes and works in buffers that are made once, so that a compiled or captured step can be
replayed. transformers' ``generate`` is not used: it grows its inputs by a token a step.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import StaticCache

from gaudi_perf.generation.experts import StaticExperts
from gaudi_perf.generation.tracing import Tracer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

Step = Callable[[torch.Tensor, torch.Tensor], "tuple[torch.Tensor, torch.Tensor]"]
"""One step: input ids and the position of each, to the next token of every sequence, of shape (batch, 1), and their
logits, of shape (batch, vocabulary). They are made in any case, so that giving them away costs nothing."""
Wrap = Callable[[Step], Step]


class StaticGeneration(ABC):
    """Greedy generation in steps of fixed shapes: the loop, and the buffers that all steps need.

    Attributes:
        mask: the attention mask of every step, (batch, positions).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompt_tokens: int,
        new_tokens: int,
        batch_size: int = 1,
        wrap: Wrap | None = None,
        wrap_prompt: Wrap | None = None,
        ranks: int = 1,
    ) -> None:
        """Makes the buffers; nothing is compiled yet. ``wrap`` makes the compiled or captured form of the step, which
        else stays as it is, ``wrap_prompt`` that of the step that processes the prompt, where there is one; the
        attention heads are divided among so many ``ranks``.
        """
        self._model, self._prompt_tokens, self._ranks = model, prompt_tokens, ranks
        # Gemma 3 calls its base otherwise than it says.
        self._base = model.base_model if model.base_model is not model else model.model
        self._experts = StaticExperts(model)
        for module in model.modules():  # of GPT-J and CodeGen: PyTorch 2.13 compiles attention with numbers alone
            if isinstance(scale := getattr(module, "scale_attn", None), torch.Tensor):
                module.scale_attn = scale.item()
        self._takes_positions = "position_ids" in inspect.signature(self._base.forward).parameters
        # The last token is never fed back, so no step ever sees it.
        self.mask = torch.ones(batch_size, prompt_tokens + new_tokens - 1, dtype=torch.long, device=model.device)
        self._padded = False
        self._output = torch.empty(batch_size, new_tokens, dtype=torch.long, device=model.device)
        self._make_buffers()
        self._step = self._decode if wrap is None else wrap(self._decode)
        self._prompt_step = self._forward if wrap_prompt is None else wrap_prompt(self._forward)

    def __call__(
        self,
        prompt: torch.Tensor,
        on_token: Callable[[], None] | None = None,
        mask: torch.Tensor | None = None,
        tracer: Tracer | None = None,
    ) -> torch.Tensor:
        """The new tokens, of shape (batch, new tokens); they lie in a buffer that the next call overwrites.

        ``mask`` is 0 where the prompt is padded, and in force until another is given; ``tracer`` leads the generation.
        """
        if mask is not None:
            self.mask[:, : mask.shape[1]] = mask
            self._padded = not bool(mask.all())
        with torch.inference_mode(), self._experts.in_force():
            token, logits = self._first(prompt)
            for index in range(self._output.shape[1]):
                if index > 0:
                    token, logits = self._following(token, index)
                if tracer is not None:
                    token = tracer.follow(logits, token)
                self._output[:, index : index + 1] = token
                if on_token is not None:
                    token[0, 0].item()  # wait for it
                    on_token()
        return self._output

    @abstractmethod
    def _make_buffers(self) -> None:
        """What the steps need beside mask and output."""

    @abstractmethod
    def _first(self, prompt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The step that makes the first token, and its logits."""

    @abstractmethod
    def _following(self, token: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The step that makes token ``index`` of the one before it."""

    @abstractmethod
    def _forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A step by transformers' forward pass."""

    def _positions_in(self, positions: torch.Tensor) -> dict[str, torch.Tensor]:
        """The positions of a step within each sequence: padding on the left does not count."""
        if not self._takes_positions:
            return {}
        return {"position_ids": (self.mask.cumsum(-1) - 1).clamp(min=0).index_select(1, positions)}

    def _chosen(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The next tokens and their logits, of hidden states (batch, 1, width): what DeepSpeed's head takes.

        Cohere scales its logits, and Gemma caps them.
        """
        logits = self._model.get_output_embeddings()(hidden)[:, 0]
        if (scale := getattr(self._model.config, "logit_scale", None)) is not None:
            logits = logits * scale
        if (cap := getattr(self._model.config, "final_logit_softcapping", None)) is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits.argmax(-1, keepdim=True), logits

    def _decode(self, token: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The step of every token but the first."""
        return self._forward(token, position)


class CachedStaticGeneration(StaticGeneration):
    """Greedy generation with a KV cache of fixed length.

    The prompt is processed by a step at its own length, every following token by the wrapped step. Keys and values
    after the current position are left from earlier rounds; the causal mask, which follows from the position, hides
    them.
    """

    def _make_buffers(self) -> None:
        batch_size, length = self.mask.shape
        config = self._model.config
        if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", True):
            config = copy.copy(config)  # the first Falcon has one head of keys, in words that StaticCache does not know
            config.num_key_value_heads = 1
        self._cache = StaticCache(
            config=config,
            max_batch_size=batch_size,
            max_cache_len=length,
            device=self._model.device,
            dtype=self._model.dtype,
            **({"tp_size": self._ranks} if self._ranks > 1 else {}),  # older transformers have none
        )
        if hasattr(self._model.config, "kv_lora_rank"):
            _widen(self._cache, self._model.config)
        positions = torch.arange(length + 1, device=self._model.device)
        self._prompt_positions = positions[: self._prompt_tokens]
        self._positions = positions[self._prompt_tokens :].split(1)

    def _first(self, prompt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self._cache.reset()  # transformers 5 counts its positions itself
        return self._prompt_step(prompt, self._prompt_positions)

    def _following(self, token: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._step(token, self._positions[index - 1])

    def _forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self._base(
            input_ids=input_ids,
            past_key_values=self._cache,
            attention_mask=self.mask,
            cache_position=positions,
            use_cache=True,
            **self._positions_in(positions),
        ).last_hidden_state
        return self._chosen(hidden[:, -1:])


class StateSpaceGeneration(CachedStaticGeneration):
    """Greedy generation of a state-space model: what a KV cache is elsewhere, is a state of fixed size here."""

    def _make_buffers(self) -> None:
        from transformers.models.mamba.modeling_mamba import MambaCache

        model, device = self._model, self._model.device
        self._cache = MambaCache(model.config, self.mask.shape[0], device=device, dtype=model.dtype)
        kernel = model.config.conv_kernel
        self._prompt_positions = torch.arange(kernel, device=device)  # by which the model knows the prompt
        self._positions = torch.full((self._output.shape[1],), kernel, device=device).split(1)

    def _forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self._base(
            input_ids=input_ids,
            cache_params=self._cache,
            cache_position=positions,
            attention_mask=self.mask[:, : self._prompt_tokens] if input_ids.shape[1] > 1 else None,
            use_cache=True,
        ).last_hidden_state
        return self._chosen(hidden[:, -1:])


class UncachedStaticGeneration(StaticGeneration):
    """Greedy generation without a KV cache: every step processes the whole sequence at its final length.

    The sequence is padded on the right. Attention is causal, so the padding changes nothing to its left, and alibi
    depends on the distance of positions alone.
    """

    def _make_buffers(self) -> None:
        if hasattr(self._base, "warn_if_padding_and_no_attention_mask"):  # it reads ids back, which no capture permits
            self._base.warn_if_padding_and_no_attention_mask = lambda *_: None
        self._sequence = torch.full_like(self.mask, self._model.config.pad_token_id)
        self._all = torch.arange(self.mask.shape[1], device=self._model.device)
        self._last = self._all[self._prompt_tokens - 1 :].split(1)

    def _first(self, prompt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self._sequence[:, : self._prompt_tokens] = prompt
        self._sequence[:, self._prompt_tokens :] = self._model.config.pad_token_id
        return self._step(self._sequence, self._last[0])

    def _following(self, token: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        end = self._prompt_tokens + index
        self._sequence[:, end - 1 : end] = token
        return self._step(self._sequence, self._last[index])

    def _forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # With sdpa transformers asks whether a mask hides anything, which no capture permits.
        needed = self._padded or self._model.config._attn_implementation != "sdpa"
        hidden = self._base(
            input_ids=input_ids,
            attention_mask=self.mask if needed else None,
            use_cache=False,
            **self._positions_in(self._all),
        ).last_hidden_state
        return self._chosen(hidden.index_select(1, positions))


def _widen(cache: StaticCache, config: PretrainedConfig) -> None:
    """Give DeepSeek-V2's keys and values their widths; transformers 4.55 makes both as wide as the rotary part."""
    widths = {"keys": config.qk_nope_head_dim + config.qk_rope_head_dim, "values": config.v_head_dim}
    for layer in cache.layers:
        for name, width in widths.items():
            made = getattr(layer, name)
            widened = made.new_zeros(*made.shape[:-1], width)
            torch._dynamo.mark_static_address(widened)
            setattr(layer, name, widened)


def kind_of(model: PreTrainedModel, kv_cache: bool) -> type[StaticGeneration]:
    """The kind of static generation for a model."""
    if not kv_cache:
        return UncachedStaticGeneration
    return StateSpaceGeneration if hasattr(model.config, "state_size") else CachedStaticGeneration
