"""Architectures: the configuration of a model as its family's allow list takes it, its sizes, and its stand-in.

A configuration comes from files of others. Only known keys of known families are taken, with values in range, so that
nothing of a file names code (``auto_map``, kernels, remote quantization) and no value takes all memory.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Literal

import msgspec

from gaudi_perf.vocabulary.documents import Document, Name
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import BYTES_PER_ELEMENT, Dtype, cached_in

LARGEST_CONFIG = 1 << 20
"""Bytes of the largest configuration file that is read; published ones have some thousand."""

_NAMES = {
    "vocabulary": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_size": "head_dim",
    "inner": "intermediate_size",
    "positions": "max_position_embeddings",
    "window": "sliding_window",
    "experts": "num_local_experts",
    "active": "num_experts_per_tok",
    "expert_inner": "moe_intermediate_size",
}
_MOST = {
    "vocabulary": 10_000_000,
    "width": 1_000_000,
    "layers": 1_000,
    "heads": 10_000,
    "kv_heads": 10_000,
    "head_size": 10_000,
    "inner": 10_000_000,
    "positions": 1 << 31,
    "window": 1 << 31,
    "experts": 10_000,
    "active": 10_000,
    "expert_inner": 10_000_000,
}
"""The largest sizes that are taken, ten times and more beyond what is published."""
_REQUIRED = ("vocabulary", "width", "layers")
_KERNELS = ("_attn_implementation", "_attn_implementation_internal")
_NAMES_CODE = ("auto_map", "custom_pipelines", "trust_remote_code", *_KERNELS)
_DTYPES = ("bfloat16", "float16", "float32", "auto", None)
_MOST_ITEMS, _MOST_TEXT, _MOST_DEPTH = 2_000, 64, 4
_LARGEST_NUMBER = 1e15

_STANDIN_HEADS = 8
_STANDIN_VOCABULARY = 2048
_STANDIN_WINDOW = 32
_STANDIN_RATIO = 16
"""Query heads per key head, at most."""

Value = str | int | float | bool | None | list[Any] | dict[str, Any]


class Family(Document, frozen=True):
    """How models of a ``model_type`` are built; families.toml says what the fields mean."""

    keys: str
    kind: Literal["attention", "latent-attention", "state-space"] = "attention"
    aliases: dict[str, str] = {}
    names: dict[str, str] = {}
    positions: Literal["rotary", "learned", "sinusoidal", "alibi", "none"] = "rotary"
    gated: bool = False
    biases: Literal["none", "qkv", "out", "mlp", "all"] = "none"
    norms: int = 2
    norm_bias: bool = True
    head_bias: bool = False
    embedding_norm: bool = False
    tied: bool = False
    split: str = ""
    no_static_cache: str = ""

    def name_of(self, size: str) -> str:
        """The key of a size, for instance ``n_embd`` of ``width``."""
        return self.names.get(size, _NAMES[size])


@cache
def families() -> Mapping[str, Family]:
    """All families by their ``model_type``."""
    data = (files(__package__) / "families.toml").read_bytes()
    return msgspec.toml.decode(data, type=dict[str, Family])


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
        try:
            return families()[self.family]
        except KeyError:
            raise _unknown(self.family, "the architecture") from None

    def size(self, name: str, default: int = 0) -> int:
        """A size by its name in ``_NAMES``; ``default`` where the configuration has none."""
        value = self.configuration.get(self.of_family.name_of(name))
        return default if value is None else int(value)

    @cached_property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.size("width")

    @cached_property
    def layers(self) -> int:
        """Number of layers."""
        return self.size("layers")

    @cached_property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return self.size("vocabulary")

    @cached_property
    def heads(self) -> int:
        """Attention heads; of a state-space model the channels, by which it would be divided."""
        return self.size("heads", self._channels)

    @cached_property
    def kv_heads(self) -> int:
        """Heads whose keys and values are cached: those of all queries, of groups of them, or one."""
        given = self.configuration
        if given.get("multi_query", self.family == "falcon") and not given.get("new_decoder_architecture"):
            return 1 if self.family in ("falcon", "gpt_bigcode") else self.heads
        return self.size("kv_heads", self.heads)

    @cached_property
    def head_size(self) -> int:
        """Width of a head."""
        return self.size("head_size", self.hidden_size // self.heads)

    @cached_property
    def inner(self) -> int:
        """Width of the MLP."""
        return self.size("inner", self.configuration.get("expansion_ratio", 4) * self.hidden_size)

    @cached_property
    def experts(self) -> int:
        """Experts of a layer; 0 where there are none."""
        return self.size("experts")

    @cached_property
    def active_experts(self) -> int:
        """Experts that a token passes through."""
        return min(self.experts, self.size("active", 2))

    @property
    def expert_inner(self) -> int:
        """Width of an expert; that of the MLP where there are none."""
        return self.size("expert_inner", self.inner)

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
        if self.of_family.kind == "state-space":
            given = self.configuration
            state = given.get("state_size", 16) + given.get("conv_kernel", 4)
            return int(self.layers * self._channels * state * BYTES_PER_ELEMENT[cached_in(dtype)]) if cached else 0
        windows = self.windows
        positions = cached * (self.layers - len(windows)) + sum(min(cached, window) for window in windows)
        return positions * self.kv_bytes_per_token(dtype) // self.layers

    def kv_bytes_per_token(self, dtype: Dtype) -> int:
        """Bytes that the KV cache keeps for one token: a key and a value in every layer; 0 of a state-space model."""
        kind, given = self.of_family.kind, self.configuration
        if kind == "state-space":
            return 0
        per_layer = 2 * self.kv_heads * self.head_size
        if kind == "latent-attention":  # which transformers keeps expanded
            sizes = given["qk_nope_head_dim"] + given["qk_rope_head_dim"] + given["v_head_dim"]
            per_layer = self.heads * sizes
        return self.layers * per_layer * BYTES_PER_ELEMENT[cached_in(dtype)]

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
        state, rank = given.get("state_size", 16), self._time_step_rank
        return int(
            2 * width * channels
            + channels * (given.get("conv_kernel", 4) + 1)
            + channels * (rank + 2 * state)
            + (rank + 1) * channels
            + channels * (state + 1)
            + channels * width
        )

    @cached_property
    def _time_step_rank(self) -> int:
        rank = self.configuration.get("time_step_rank", "auto")
        return math.ceil(self.hidden_size / 16) if rank == "auto" else int(rank)


def architecture_of(fields: object, source: str) -> tuple[Architecture, list[str]]:
    """The architecture that a configuration describes, and notes of what it names and is not done.

    Args:
        fields: of a config.json, or of a table in a catalogue, with ``model_type``.
        source: what to call it in sentences.

    Raises:
        UserError: its family is not known, needs code of the checkpoint, or a value makes no sense.
    """
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise UserError(f"{source}: is no configuration of a model: it holds no object with model_type")
    kind = fields.get("model_type")
    if not isinstance(kind, str) or kind not in families():
        raise _unknown(kind, source, needs_code="auto_map" in fields)
    family = families()[kind]
    dtype = fields.get("torch_dtype", fields.get("dtype"))
    if dtype not in _DTYPES:
        raise UserError(
            f"{source}: torch_dtype is {repr(dtype)[:80]}: weights are measured in bfloat16, float16 or float32"
        )
    notes = [f"{source}: {key} names code, and is left out" for key in _NAMES_CODE if _names_code(key, fields.get(key))]
    if fields.get("quantization_config") is not None:
        notes.append(f"{source}: quantization_config is left out: dummy weights are not quantized")
    spelled = {family.aliases.get(key, key): value for key, value in fields.items()}
    allowed = family.keys.split()
    taken = {key: spelled[key] for key in allowed if key in spelled}
    for key, value in taken.items():
        _check_value(key, value, source)
    for size, most in _MOST.items():
        key = family.name_of(size)
        if key in allowed and size != "positions":
            _check_size(key, taken.get(key), most, source, required=size in _REQUIRED)
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


def _unknown(kind: object, source: str, needs_code: bool = False) -> UserError:
    code = ", and it names code of its checkpoint (auto_map), which is never run" if needs_code else ""
    return UserError(
        f"{source}: model_type is {repr(kind)[:80]}{code}: models can be of {', '.join(sorted(families()))}"
    )


def _names_code(key: str, value: object) -> bool:
    return value is not None and (key not in _KERNELS or (isinstance(value, str) and "/" in value))


def _check_size(key: str, value: object, most: int, source: str, *, required: bool) -> None:
    if value is None and not required:
        return
    if value is None:
        raise UserError(f"{source}: lacks {key}")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise UserError(f"{source}: {key} is {_short(value)}: it takes a whole number from 1 to {most}")


def _check_value(key: str, value: object, source: str, depth: int = 0) -> None:
    """Refuse what no configuration has: NaN, huge numbers, paths, deep or long lists."""
    wrong = ""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, (int, float)):
        wrong = "" if abs(value) <= _LARGEST_NUMBER else "a finite number"  # a comparison with NaN is false
    elif isinstance(value, str):
        wrong = "" if len(value) <= _MOST_TEXT and "/" not in value and "\\" not in value else "a short name"
    elif isinstance(value, (list, dict)):
        if depth >= _MOST_DEPTH or len(value) > _MOST_ITEMS:
            wrong = f"at most {_MOST_ITEMS} values, {_MOST_DEPTH} deep"
        else:
            for item in value.values() if isinstance(value, dict) else value:
                _check_value(key, item, source, depth + 1)
    else:
        wrong = "a value of JSON"
    if wrong:
        raise UserError(f"{source}: {key} is {_short(value)}: it takes {wrong}")


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


def _short(value: object) -> str:
    return repr(value)[:80]
