"""Architectures: the sizes of a configuration, how many weights and operations follow from them, and its stand-in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from gaudi_perf.vocabulary.documents import Document, Name
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.families import Family, family_named, taken_of
from gaudi_perf.vocabulary.workload import BYTES_PER_ELEMENT, Dtype, cached_in

_STANDIN_HEADS = 8
_STANDIN_VOCABULARY = 2048
_STANDIN_WINDOW = 32
_STANDIN_RATIO = 16
"""Query heads per key head, at most."""


def _sized(name: str, default: Callable[[Architecture], int] = lambda one: 0) -> cached_property[int]:
    """A size by its name, looked up once; ``default`` where the configuration has none."""
    return cached_property(lambda one: one.size(name, default(one)))


class Architecture(Document, frozen=True, dict=True):
    """What transformers builds a model of: a family (``model_type``), and the values of its configuration."""

    family: Name
    configuration: dict[str, Any]

    @property
    def digest(self) -> str:
        """Eight digits of the SHA-256 of its values, by which two of the same name are known apart."""
        text = msgspec.json.encode([self.family, self.configuration], order="deterministic")
        return hashlib.sha256(text).hexdigest()[:8]

    @cached_property
    def of_family(self) -> Family:
        """Its family; ``UserError`` if this release does not know it."""
        return family_named(self.family, "the architecture")

    def size(self, name: str, default: int = 0) -> int:
        """A size by its name, as ``Family.name_of`` takes it; ``default`` where the configuration has none."""
        value = self.configuration.get(self.of_family.name_of(name))
        return default if value is None else int(value)

    hidden_size = _sized("width")
    """Width of the hidden states."""
    layers = _sized("layers")
    vocabulary = _sized("vocabulary")
    """Rows of the embedding."""
    heads = _sized("heads", lambda one: one._channels)
    """Attention heads; of a state-space model the channels, by which it would be divided."""
    head_size = _sized("head_size", lambda one: one.hidden_size // one.heads)
    inner = _sized("inner", lambda one: one.configuration.get("expansion_ratio", 4) * one.hidden_size)
    """Width of the MLP."""
    experts = _sized("experts")
    """Experts of a layer; 0 where there are none."""
    expert_inner = _sized("expert_inner", lambda one: one.inner)
    """Width of an expert; that of the MLP where there are none."""

    @cached_property
    def kv_heads(self) -> int:
        """Heads whose keys and values are cached: those of all queries, of groups of them, or one."""
        given = self.configuration
        if given.get("multi_query", self.family == "falcon") and not given.get("new_decoder_architecture"):
            return 1 if self.family in ("falcon", "gpt_bigcode") else self.heads
        return self.size("kv_heads", self.heads)

    @cached_property
    def active_experts(self) -> int:
        """Experts that a token passes through."""
        return min(self.experts, self.size("active", 2))

    @property
    def divided(self) -> dict[str, int]:
        """What is divided among devices, and how many there are of it."""
        return {
            "attention heads": self.heads,
            "heads of keys and values": self.kv_heads,
            "columns of the MLP": self.inner,
            "columns of an expert": self.expert_inner,
        }

    @cached_property
    def positions(self) -> int | None:
        """The most positions of a sequence where they are learned; None where the family has no such limit."""
        return self.size("positions") or None if self.of_family.positions == "learned" else None

    @cached_property
    def tied(self) -> bool:
        """Whether the output head is the embedding."""
        return bool(self.configuration.get("tie_word_embeddings", self.of_family.tied))

    @cached_property
    def windows(self) -> list[int]:
        """The attention window of each layer that has one, in positions."""
        given, window = self.configuration, self.size("window")
        if not window or given.get("use_sliding_window") is False:
            return []
        kinds = given.get("layer_types")
        if kinds is not None:
            return [window] * sum(kind == "sliding_attention" for kind in kinds)
        if self.family == "gpt_neo":
            return [window] * _expanded(given).count("local")
        if self.family in ("gemma2", "gpt_oss"):  # transformers' default: every other layer
            return [window] * -(-self.layers // 2)
        if self.family == "gemma3_text":
            return [window] * (self.layers - self.layers // 6)
        if "use_sliding_window" in given:
            return [window] * max(0, self.layers - int(given.get("max_window_layers", 28)))
        return [window] * self.layers

    @cached_property
    def parameters(self) -> int:
        """Number of weights, the tied head counted once: exact for BLOOM, else within a percent (norms, biases)."""
        family, width = self.of_family, self.hidden_size
        norm = width * (2 if family.norm_bias else 1)
        around = self.vocabulary * width * (1 if self.tied else 2) + norm * (2 if family.embedding_norm else 1)
        around += (self.positions or 0) * width + (self.vocabulary if family.head_bias else 0)
        if family.kind == "state-space":
            return around + self.layers * (self._state_space_layer + norm)
        layer = self._attention + family.norms * norm
        dense = self.layers - self.expert_layers
        mixed = self.experts * (self.expert_parameters + width) + self._shared_expert
        return around + self.layers * layer + dense * self._mlp(self.inner) + self.expert_layers * mixed

    @cached_property
    def expert_layers(self) -> int:
        """Layers whose MLP is a choice of experts."""
        if not self.experts:
            return 0
        return max(0, self.layers - int(self.configuration.get("first_k_dense_replace", 0)))

    @cached_property
    def expert_parameters(self) -> int:
        """Weights of one expert in one layer."""
        return self._mlp(self.expert_inner)

    def weight_bytes(self, dtype: Dtype) -> int:
        """Bytes of all weights in ``dtype``."""
        return self.parameters * BYTES_PER_ELEMENT[dtype]

    def weights_read(self, tokens: int) -> int:
        """Number of weights that a step needs which processes so many tokens.

        All but two kinds: an embedding that is not the head, too, of which a step needs a row for each token; and
        experts that no token chose, if each chooses its own by chance, all alike.
        """
        embedding = 0 if self.tied else self.vocabulary * self.hidden_size
        idle = 0.0
        if self.expert_layers:
            chosen = self.active_experts / self.experts
            idle = self.expert_layers * self.expert_parameters * self.experts * (1 - chosen) ** tokens
        return self.parameters - embedding - round(idle)

    def operations(self, new: int, cached: int) -> int:
        """Multiplications and additions of a step that processes ``new`` positions of a sequence and finds ``cached``
        ones: two for each weight and position, the head's for the last one only, and attention's two products.
        """
        head, active = self.vocabulary * self.hidden_size, self.weights_read(1)
        attended = new * cached + new * (new + 1) // 2
        attention = 0 if self.of_family.kind == "state-space" else 4 * self.layers * self.heads * self.head_size
        return 2 * (active - head) * new + 2 * head + attention * attended

    def kept_bytes(self, cached: int, dtype: Dtype) -> int:
        """Bytes that a sequence keeps of so many positions, and reads in every step: keys and values, of layers with a
        window those within it; or the state of a state-space model.
        """
        kind, given, size = self.of_family.kind, self.configuration, BYTES_PER_ELEMENT[cached_in(dtype)]
        if kind == "state-space":
            state = given.get("state_size", 16) + given.get("conv_kernel", 4)
            return int(self.layers * self._channels * state * size) if cached else 0
        per_layer = 2 * self.kv_heads * self.head_size
        if kind == "latent-attention":  # which transformers keeps expanded
            per_layer = self.heads * (given["qk_nope_head_dim"] + given["qk_rope_head_dim"] + given["v_head_dim"])
        windows = self.windows
        positions = cached * (self.layers - len(windows)) + sum(min(cached, window) for window in windows)
        return positions * per_layer * size

    @cached_property
    def _channels(self) -> int:
        return self.size("inner", int(self.configuration.get("expand", 2) * self.hidden_size))

    @cached_property
    def _attention(self) -> int:
        width, queries, keys = self.hidden_size, self.heads * self.head_size, self.kv_heads * self.head_size
        given, biases = self.configuration, self.of_family.biases
        if self.of_family.kind == "latent-attention":
            nope, rope, value = (given[f"{name}_head_dim"] for name in ("qk_nope", "qk_rope", "v"))
            latent, query = given["kv_lora_rank"], given.get("q_lora_rank")
            asked = self.heads * (nope + rope)
            first = width * asked if query is None else query * (width + asked + 1)
            second = width * (latent + rope) + latent + latent * self.heads * (nope + value)
            return int(first + second + self.heads * value * width)
        if self.family == "falcon" or not self.size("head_size"):
            queries = width
        count = width * queries + 2 * width * keys + queries * width
        count += queries + 2 * keys if biases in ("qkv", "all") else 0
        return count + (width if biases in ("out", "all") else 0)

    def _mlp(self, inner: int) -> int:
        family, matrices = self.of_family, 3 if self.of_family.gated else 2
        bias = (matrices - 1) * inner + self.hidden_size
        return matrices * self.hidden_size * inner + (bias if family.biases in ("mlp", "out", "all") else 0)

    @cached_property
    def _shared_expert(self) -> int:
        given = self.configuration
        if "shared_expert_intermediate_size" in given:
            return self._mlp(given["shared_expert_intermediate_size"]) + self.hidden_size
        return self._mlp(given.get("n_shared_experts", 0) * self.size("expert_inner"))

    @cached_property
    def _state_space_layer(self) -> int:
        """A Mamba block: in, convolution, x, dt with bias, A, D, out (Gu and Dao, arXiv:2312.00752)."""
        width, channels, given = self.hidden_size, self._channels, self.configuration
        state, rank = given.get("state_size", 16), given.get("time_step_rank", "auto")
        if rank == "auto":
            rank = math.ceil(width / 16)
        return int(
            2 * width * channels
            + channels * (given.get("conv_kernel", 4) + 1)
            + channels * (rank + 2 * state)
            + (rank + 1) * channels
            + channels * (state + 1)
            + channels * width
        )


def architecture_of(fields: object, source: str) -> tuple[Architecture, list[str]]:
    """The architecture that a configuration describes, and notes of what it names and is not done.

    Args:
        fields: of a config.json, or of a table in a catalogue, with ``model_type``.
        source: what to call it in sentences.

    Raises:
        UserError: its family is not known, needs code of the checkpoint, or a value makes no sense.
    """
    kind, taken, notes = taken_of(fields, source)
    architecture = Architecture(kind, taken)
    _check_whole(architecture, source)
    return architecture, notes


def standin_of(architecture: Architecture, changes: Mapping[str, Any] | None = None) -> Architecture:
    """The small model that stands in for one: the rule of docs/models.md, with some values changed."""
    family, given = architecture.of_family, dict(architecture.configuration)

    def put(size: str, value: int) -> None:
        if given.get(family.name_of(size)) is not None:
            given[family.name_of(size)] = value

    grouped = min(_STANDIN_RATIO, max(1, architecture.heads // architecture.kv_heads))
    one_key = architecture.kv_heads == 1
    heads = _STANDIN_HEADS if one_key or family.kind == "state-space" else _STANDIN_HEADS * grouped
    size = 16 if heads <= 32 else 8
    width, before = heads * size, architecture.hidden_size

    def scaled(value: int) -> int:
        return max(8, round(width * value / before / 8) * 8)

    layers = _standin_layers(architecture)
    put("width", width)
    put("layers", layers)
    put("heads", heads)
    put("kv_heads", 1 if one_key else _STANDIN_HEADS)
    put("head_size", size)
    put("inner", scaled(architecture.inner) if family.kind != "state-space" else scaled(architecture._channels))
    put("expert_inner", scaled(architecture.size("expert_inner")))
    put("vocabulary", min(architecture.vocabulary, _STANDIN_VOCABULARY))
    put("window", min(architecture.size("window"), _STANDIN_WINDOW))
    if architecture.experts:
        active = architecture.active_experts
        put("experts", min(architecture.experts, max(8, -(-2 * active // 8) * 8)))
    for key, value in {
        "word_embed_proj_dim": width,
        "query_pre_attn_scalar": size,
        "shared_expert_intermediate_size": scaled(given.get("shared_expert_intermediate_size") or 0),
        "rotary_dim": max(2, size * (given.get("rotary_dim") or 0) // architecture.head_size // 2 * 2)
        if family.kind == "attention"
        else 0,
        "time_step_rank": math.ceil(width / 16),
        "qk_nope_head_dim": size,
        "v_head_dim": size,
        "qk_rope_head_dim": 8,
        "kv_lora_rank": width // 2,
        "q_lora_rank": width // 2,
        "n_group": None,
        "topk_group": None,
        "topk_method": "greedy",
        "max_window_layers": 0 if given.get("use_sliding_window") else given.get("max_window_layers"),
        "mlp_only_layers": [],
        "layer_types": (given.get("layer_types") or [])[:layers],
    }.items():
        if given.get(key) is not None:
            given[key] = value
    if given.get("attention_types") is not None:
        given["attention_types"] = [[[kind], 1] for kind in _expanded(architecture.configuration)[:layers]]
    for number, key in enumerate(("bos_token_id", "eos_token_id", "pad_token_id"), 1):
        if isinstance(token := given.get(key), list) or (token is not None and token >= _STANDIN_VOCABULARY):
            given[key] = number
    return architecture_of({"model_type": architecture.family, **given, **(changes or {})}, "the stand-in")[0]


def _standin_layers(architecture: Architecture) -> int:
    """Two layers, or as many as it takes until every kind of layer is there."""
    kinds: Sequence[str] = architecture.configuration.get("layer_types") or ()
    if architecture.family == "gpt_neo":
        kinds = _expanded(architecture.configuration)
    elif architecture.family == "gemma3_text" and not kinds:
        kinds = ["sliding_attention"] * 5 + ["full_attention"]
    needed = next((count for count in range(1, len(kinds)) if set(kinds[:count]) == set(kinds)), len(kinds))
    dense = architecture.layers - architecture.expert_layers if architecture.experts else 0
    return min(architecture.layers, max(2, needed, dense + 1))


def _expanded(given: Mapping[str, Any]) -> list[str]:
    """The kind of each layer of a GPT-Neo, whose configuration says ``[[["global", "local"], 12]]``."""
    types = given.get("attention_types") or [[["global", "local"], 12]]
    return [kind for kinds, times in types for kind in list(kinds) * times]


def _check_whole(architecture: Architecture, source: str) -> None:
    """Refuse sizes that do not go together."""
    if architecture.of_family.kind == "state-space":
        return
    name, heads = architecture.of_family.name_of, architecture.heads
    if not architecture.size("heads"):
        raise UserError(f"{source}: lacks {name('heads')}")
    if not architecture.size("head_size") and architecture.hidden_size % heads:
        raise UserError(f"{source}: {name('width')} {architecture.hidden_size} does not divide by {heads} heads")
    if heads % architecture.kv_heads:
        raise UserError(f"{source}: {heads} heads do not divide by {architecture.kv_heads} heads of keys and values")
    if architecture.active_experts > architecture.experts:
        raise UserError(f"{source}: {architecture.active_experts} of {architecture.experts} experts are active")
