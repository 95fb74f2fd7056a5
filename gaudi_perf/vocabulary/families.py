"""Families: what is taken of a configuration, by the allow list of its ``model_type``.

A configuration comes from files of others. Only known keys of known families are taken, with values in range, so that
nothing of a file names code (``auto_map``, kernels, remote quantization) and no value takes all memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

from gaudi_perf.vocabulary.documents import Document
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions

LARGEST_CONFIG = 1 << 20
"""Bytes of the largest configuration file that is read; published ones have some thousand."""

_SIZES = {
    "vocabulary": ("vocab_size", 10_000_000),
    "width": ("hidden_size", 1_000_000),
    "layers": ("num_hidden_layers", 1_000),
    "heads": ("num_attention_heads", 10_000),
    "kv_heads": ("num_key_value_heads", 10_000),
    "head_size": ("head_dim", 10_000),
    "inner": ("intermediate_size", 10_000_000),
    "positions": ("max_position_embeddings", None),
    "window": ("sliding_window", 1 << 31),
    "experts": ("num_local_experts", 10_000),
    "active": ("num_experts_per_tok", 10_000),
    "expert_inner": ("moe_intermediate_size", 10_000_000),
}
"""The keys of sizes in most families, and the largest that are taken, ten times and more beyond what is published."""
_REQUIRED = ("vocabulary", "width", "layers")
_KERNELS = ("_attn_implementation", "_attn_implementation_internal")
_NAMES_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")
_NO_EFFECT = re.compile(
    r"(model_type|(torch_)?dtype|quantization_config|architectures|transformers_version|_name_or_path|use_(cache|return_dict)|"
    r"\w*_token_id|is_(encoder_)?decoder|id2label|label2id|init\w+|gradient_checkpointing|pretraining_tp|"
    r"task_specific_params|problem_type|\w*(dropout|pdrop|layerdrop|aux_loss|jitter)\w*|(summary|output|return)_\w+)"
)
"""What configurations hold that changes nothing of what is generated without training, or is noted otherwise."""
_NOTED = 8
_DTYPES = ("bfloat16", "float16", "float32", "auto", None)
_MOST_ITEMS, _MOST_TEXT, _MOST_DEPTH = 2_000, 64, 4
_LARGEST_NUMBER = 1e15


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
    no_fp8: str = ""
    gaudi: str = ""
    gaudi_defaults: GaudiOptions = GaudiOptions()

    def name_of(self, size: str) -> str:
        """The key of a size, for instance ``n_embd`` of ``width``."""
        return self.names.get(size, _SIZES[size][0])

    def why_no_options(self, options: GaudiOptions) -> str:
        """Why optimum-habana's models of the family cannot have these options, in a clause; empty if they can."""
        known = self.gaudi.split()
        unknown = [name for name in options.on if name not in known]
        if unknown:
            return f"optimum-habana has no {unknown[0]} for it, but {', '.join(known)}: leave {unknown[0]} out"
        return options.contradiction


@cache
def families() -> Mapping[str, Family]:
    """All families by their ``model_type``."""
    data = (files(__package__) / "families.toml").read_bytes()
    return msgspec.toml.decode(data, type=dict[str, Family])


def family_named(kind: object, source: str, needs_code: bool = False) -> Family:
    """The family of a ``model_type``.

    Raises:
        UserError: this release does not know it; the sentence begins with the source.
    """
    if isinstance(kind, str) and kind in families():
        return families()[kind]
    code = ", and it names code of its checkpoint (auto_map), which is never run" if needs_code else ""
    raise UserError(f"{source}: model_type is {_short(kind)}{code}: models can be of {', '.join(sorted(families()))}")


def taken_of(fields: object, source: str) -> tuple[str, dict[str, Any], list[str]]:
    """The family of a configuration, what is taken of it, and notes of what it names and is not done.

    Args:
        fields: of a config.json, or of a table in a catalogue, with ``model_type``.
        source: what to call it in sentences.

    Raises:
        UserError: its family is not known, needs code of the checkpoint, or a value makes no sense.
    """
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise UserError(f"{source}: is no configuration of a model: it holds no object with model_type")
    kind = fields.get("model_type")
    family = family_named(kind, source, needs_code="auto_map" in fields)
    dtype = fields.get("torch_dtype", fields.get("dtype"))
    if dtype not in _DTYPES:
        raise UserError(
            f"{source}: torch_dtype is {_short(dtype)}: weights are measured in bfloat16, float16 or float32"
        )
    for key in _KERNELS:
        if isinstance(fields.get(key), str) and "/" in fields[key]:
            what = f"{key} is {_short(fields[key])}, which names code of the hub"
            raise UserError(f"{source}: {what}: take it out of the file, or name another checkpoint")
    notes = [f"{source}: {key} names code, and is left out" for key in _NAMES_CODE if fields.get(key) is not None]
    if fields.get("quantization_config") is not None:
        notes.append(f"{source}: quantization_config is left out: dummy weights are not quantized")
    spelled = {str(family.aliases.get(key, key)): value for key, value in fields.items()}
    allowed = family.keys.split()
    taken = {key: spelled[key] for key in allowed if key in spelled}
    unknown = sorted(spelled.keys() - {*allowed, *_NAMES_CODE, *_KERNELS})
    if others := [_short(key) for key in unknown if not _NO_EFFECT.fullmatch(key)]:
        more = f" and {len(others) - _NOTED} more" if len(others) > _NOTED else ""
        notes.append(f"{source}: left out, since {kind} is made without them: {', '.join(others[:_NOTED])}{more}")
    for key, value in taken.items():
        _check_value(key, value, source)
    for size, (_, most) in _SIZES.items():
        key = family.name_of(size)
        value = taken.get(key)
        if value is None and key in allowed and size in _REQUIRED:
            raise UserError(f"{source}: lacks {key}")
        if value is None or most is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise UserError(f"{source}: {key} is {_short(value)}: it takes a whole number from 1 to {most}")
    return str(kind), taken, notes


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


def _short(value: object) -> str:
    return repr(value)[:80]
