"""Generation by optimum-habana's ``generate``, with the settings of its own text-generation script for BLOOM."""

from __future__ import annotations

from typing import Any

from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.protocol import Variant

# What generate() of optimum-habana reads from the generation configuration, switched off: BLOOM has none of it, or it
# changes what is measured.
_OFF = (
    "trim_logits",
    "reuse_cache",
    "limit_hpu_graphs",
    "bucket_internal",
    "reduce_recompile",
    "attn_softmax_bf16",
    "use_flash_attention",
    "clear_hpu_graphs_cache",
)


class GaudiGeneration(PlainGeneration):
    """Greedy generation with static shapes, in lazy mode."""

    def __init__(self, model: Any, variant: Variant) -> None:
        """Changes the model's own generation configuration; whoever wants graphs has wrapped the model in them."""
        configuration = model.generation_config
        configuration.max_new_tokens = variant.new_tokens
        configuration.min_new_tokens = None
        configuration.do_sample = False
        configuration.use_cache = variant.kv_cache
        configuration.static_shapes = True
        configuration.ignore_eos = True
        configuration.bucket_size = -1
        for name in _OFF:
            setattr(configuration, name, False)
        self._model, self._config, self._new_tokens = model, configuration, variant.new_tokens
        self._arguments = {"lazy_mode": True, "hpu_graphs": variant.graphs, "ignore_eos": True}
