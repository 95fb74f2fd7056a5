"""Options of a model on Gaudi: what optimum-habana's ``generate`` does for some families beside what it does for all.

Which of them a family knows, and those of its defaults, are data (families.toml). A catalogue sets them for a model,
``--gaudi-options`` for a session; the later go before the earlier. Other accelerators have none.
"""

from __future__ import annotations

from msgspec import UNSET, UnsetType, ValidationError, convert
from msgspec.structs import replace

from gaudi_perf.vocabulary.documents import Document, PositiveInt
from gaudi_perf.vocabulary.workload import Dtype


class GaudiOptions(Document, frozen=True, omit_defaults=True):
    """Options as optimum-habana's run_generation.py calls them; what is not set is left to the level below.

    Attributes:
        reuse_cache: each layer keeps one KV cache, which is not handed from step to step.
        trim_logits: the first step computes the logits of its last position only.
        attn_softmax_bf16: the softmax of attention is in bfloat16, not float32; of no effect in float32.
        use_flash_attention: attention is Gaudi's fused kernel; its softmax is the fast one, as the script has it.
        flash_attention_recompute: that kernel recomputes the softmax in the first step, and takes less memory.
        flash_attention_causal_mask: that kernel takes a causal mask, and none of padded positions, in the first step.
        bucket_size: shapes grow by so many positions, instead of having their full length at once.
        bucket_internal: only what is read of the KV cache grows so.
        limit_hpu_graphs: the first step is not captured.
    """

    reuse_cache: bool | UnsetType = UNSET
    trim_logits: bool | UnsetType = UNSET
    attn_softmax_bf16: bool | UnsetType = UNSET
    use_flash_attention: bool | UnsetType = UNSET
    flash_attention_recompute: bool | UnsetType = UNSET
    flash_attention_causal_mask: bool | UnsetType = UNSET
    bucket_size: PositiveInt | UnsetType = UNSET
    bucket_internal: bool | UnsetType = UNSET
    limit_hpu_graphs: bool | UnsetType = UNSET

    @property
    def on(self) -> dict[str, bool | int]:
        """Those that are switched on, by name."""
        return {name: value for name in OPTIONS if (value := getattr(self, name))}

    @property
    def words(self) -> str:
        """Those that are switched on, as ``--gaudi-options`` takes them: ``bucket_size=128,reuse_cache``."""
        return ",".join(name if value is True else f"{name}={value}" for name, value in self.on.items())

    def over(self, below: GaudiOptions) -> GaudiOptions:
        """These, and of another level what these do not set."""
        return replace(below, **{name: own for name in OPTIONS if (own := getattr(self, name)) is not UNSET})

    @property
    def contradiction(self) -> str:
        """What cannot be together in optimum-habana's ``generate``, with the remedy; empty if nothing."""
        if self.bucket_internal and not self.bucket_size:
            return "bucket_internal needs a bucket_size: add bucket_size=128"
        if self.bucket_size and self.reuse_cache and not self.bucket_internal:
            return "bucket_size with reuse_cache needs bucket_internal: add it, or reuse_cache=no"
        return ""

    def in_effect(self, *, graphs: bool, kv_cache: bool, dtype: Dtype, padded: bool = False) -> GaudiOptions:
        """What is left of them in a configuration, as run_generation.py and ``generate`` take them.

        ``padded``: whether rows are padded, which a causal mask leaves out of account.
        """
        off = set() if graphs else {"limit_hpu_graphs"}
        off |= {"flash_attention_causal_mask"} if padded else set()
        if not kv_cache:
            off |= {"reuse_cache", "bucket_internal"} | ({"bucket_size"} if self.bucket_internal else set())
        off |= {"attn_softmax_bf16"} if dtype == "float32" else set()
        return convert({name: value for name, value in self.on.items() if name not in off}, GaudiOptions)


OPTIONS = GaudiOptions.__struct_fields__


def parsed_options(text: str) -> GaudiOptions:
    """The options of ``reuse_cache,bucket_size=128,trim_logits=no``; ``ValueError`` says what it takes."""
    meaning = f"it takes NAME, NAME=no or bucket_size=N, with commas: {', '.join(OPTIONS)}"
    found: dict[str, object] = {}
    for part in filter(None, text.split(",")):
        name, _, value = (word.strip() for word in part.partition("="))
        if len(value) > 9:  # no size has more digits
            raise ValueError(meaning)
        said = {"": True, "yes": True, "no": False}.get(value, int(value) if value.isdecimal() else value)
        if found.setdefault(name, said) != said:
            raise ValueError(f"it says {name} twice, and not the same: name it once")
    try:
        return convert(found, GaudiOptions)
    except ValidationError:
        raise ValueError(meaning) from None
