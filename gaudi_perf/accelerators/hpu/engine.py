"""Gaudi's worker, through optimum-habana: what its own text-generation script does for speed on BLOOM.

``adapt_transformers_to_gaudi``, lazy mode, static shapes, ``wrap_in_hpu_graph`` (``graphs``), and a warm-up that
captures every graph. The same code runs on the emulated Gaudi.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from msgspec.structs import replace

from gaudi_perf.accelerators.host import installed
from gaudi_perf.accelerators.hpu.fp8 import LIBRARY, Quantizer, digest
from gaudi_perf.accelerators.hpu.releases import installed_components
from gaudi_perf.accelerators.hpu.stack import synapse_stack
from gaudi_perf.accelerators.torch_engine import Generation, TorchEngine, leave_out_scikit_learn
from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.gaudi_options import OPTIONS
from gaudi_perf.vocabulary.run import GraphCompilation
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import FP8

# What generate() of optimum-habana reads from the generation configuration beside the options of a model, switched off:
# it changes what is measured.
_OFF = ("reduce_recompile", "clear_hpu_graphs_cache", "do_sample")
_QUANTIZED = "QUANT_CONFIG"
"""Where this variable is set, as for the script, optimum-habana makes attention for FP8, Falcon's of other parts."""
_CALIBRATION_TOKENS = 8
"""New tokens after each calibration prompt, by which steps with a cache are measured, too."""
_STATISTICS = {
    "compilations": ("graph_compilation", "TotalNumber"),
    "compilation_us": ("graph_compilation", "TotalTime"),
    "recipe_cache_misses": ("recipe_cache", "TotalMiss"),
    "cpu_fallbacks": ("cpu_fallback", "TotalNumber"),
}
"""Names here, and the metric and its statistic in the bridge (habana_frameworks.torch.hpu.metrics)."""
_PROBLEMS = {
    "compilations": "graph compilations inside the timed rounds: allow more warm-up (--warm-up-limit), and keep shapes "
    "static",
    "recipe_cache_misses": "recipe-cache misses inside the timed rounds: allow more warm-up (--warm-up-limit), or a "
    "larger PT_HPU_RECIPE_CACHE_CONFIG",
    "cpu_fallbacks": "operations fell back to the CPU inside the timed rounds: see the metric cpu_fallback for their "
    "names; this SynapseAI release does not run them on the device",
}


class HpuEngine(TorchEngine):
    """Holds a model, or a rank's part of it, on one Gaudi."""

    device_type = "hpu"
    library = "optimum-habana"
    # As optimum-habana's own script; masks of its models are made for it. With transformers' default its Mixtral (1.21)
    # leaves out the causal mask where nothing is padded.
    attention = "eager"

    def __init__(self) -> None:
        super().__init__()
        self._hpu: Any = None
        self._quantizer: Quantizer | None = None
        self._when_prepared: Counter[str] = Counter()
        self._when_rounds_began: Counter[str] = Counter()

    def import_libraries(self) -> None:
        adapt_transformers()

    def import_for_ranks(self) -> None:
        """Torch, optimum-habana, DeepSpeed and hccl, in the order in which they find each other."""
        super().import_for_ranks()
        import habana_frameworks.torch.distributed.hccl  # noqa: F401  (takes this rank's device, and registers hccl)

    def take_device(self) -> None:
        import habana_frameworks.torch.hpu as hpu

        if not hpu.is_available():
            raise UserError("no Gaudi is available to PyTorch: is the driver loaded, and the device free? see hl-smi")
        self._hpu = hpu

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """As every engine; complete on the device when it returns."""
        os.environ.pop(_QUANTIZED, None)
        if group.dtype in FP8:
            os.environ[_QUANTIZED] = LIBRARY
        super().load(group, progress)
        self.synchronize()

    def made(self, group: GroupSpec, progress: Callable[[str], None]) -> Any:
        model = super().made(group, progress)
        if group.devices > 1 and group.built.family == "bloom":
            # The cache is in BLOOM's format always, [batch x heads, ...]. optimum-habana 1.21 knows that from
            # [batch, heads, ...] by the first dimension, which is the same where a rank has one head, and then fails.
            model._convert_to_bloom_cache = lambda past_key_values: past_key_values
        return model

    def device(self) -> Device:
        """The Gaudi; an emulated one says so in its properties."""
        name = str(self._hpu.get_device_name()).lower()
        if "emulated" in str(self._hpu.get_device_properties(0)).lower():
            name = f"emulated-{name}"
        memory = int(self._hpu.mem_get_info()[1])
        return Device(name=name, accelerator="hpu", memory_bytes=memory, available=int(self._hpu.device_count()))

    def stack(self) -> Stack:
        stack = synapse_stack(lazy=bool(self._hpu.is_lazy()))
        if self._quantizer is None:
            return stack
        own = {"fp8-configuration": digest(self._quantizer.settings), "fp8-measurement": self._quantizer.fingerprint}
        return replace(
            stack,
            components={**stack.components, LIBRARY: installed(LIBRARY)},
            settings={**stack.settings, **own},
        )

    def quantize(self, group: GroupSpec, sequences: list[list[int]]) -> None:
        """Measure, unless this rank and all others have measured before, and quantize."""
        import habana_frameworks.torch.core as htcore

        software = {**installed_components(), LIBRARY: installed(LIBRARY), "device": self.device().name}
        rank = torch.distributed.get_rank() if group.devices > 1 else 0
        quantizer = self._quantizer = Quantizer(group, software, rank)
        measured = torch.tensor(int(quantizer.measured), device=self.device_type)
        if group.devices > 1:  # measuring takes collectives: all ranks do, or none
            torch.distributed.all_reduce(measured, torch.distributed.ReduceOp.MIN)
        options = group.gaudi_options.in_effect(graphs=False, kv_cache=True, dtype=group.dtype)
        variant = Variant(graphs=False, kv_cache=True, new_tokens=_CALIBRATION_TOKENS, gaudi_options=options)

        def calibrate() -> None:
            generation = GaudiGeneration(self._model, variant)
            for sequence in sequences:
                generation(torch.tensor([sequence], device=self.device_type))

        made = (lambda: self.made(group, lambda _: None)) if group.dtype == "fp8kv" else None
        self._model = quantizer.quantize(self._model, calibrate, not measured.item(), made)
        htcore.hpu_initialize(self._model, mark_only_scales_as_const=True)

    def memory_bandwidth(self) -> float | None:
        """Not measured: it is published."""
        return None

    def generation_of(self, variant: Variant) -> Generation:
        """Wrap the model in HPU graphs or not, and set what generate() reads."""
        if variant.graphs:
            from habana_frameworks.torch.hpu import wrap_in_hpu_graph

            self._model = wrap_in_hpu_graph(self._model)
            if not variant.kv_cache:
                self._model.forward = _without_cache_position(self._model.forward)
        self._when_prepared = _statistics()
        return GaudiGeneration(self._model, variant)

    def _padded(self, prompts: list[list[int]], variant: Variant) -> tuple[torch.Tensor, torch.Tensor]:
        if "flash_attention_causal_mask" in variant.gaudi_options.on:
            raise UserError(
                "with flash_attention_causal_mask optimum-habana does not mask padded positions: take a prompt that is "
                "not padded, or add --gaudi-options flash_attention_causal_mask=no"
            )
        return super()._padded(prompts, variant)

    def close(self) -> None:
        super().close()
        if self._model is not None:
            if hasattr(self._model, "clear_cache"):
                self._model.clear_cache()  # captured graphs and their buffers
            self._model.forward = self._forward
            for module in self._model.modules():
                if hasattr(module, "allocate") and hasattr(module, "cache"):
                    module.cache = None  # which reuse_cache keeps, for prompts of one length

    def synchronize(self) -> None:
        self._hpu.synchronize()

    def reset_peak_memory(self) -> None:
        self._hpu.reset_peak_memory_stats()

    def peak_memory_bytes(self) -> int | None:
        return int(self._hpu.max_memory_allocated())

    def graph_compilation(self) -> GraphCompilation | None:
        """Graphs compiled since the variant was prepared; the bridge reports microseconds."""
        grown = _statistics() - self._when_prepared
        if not grown["compilations"]:
            return None
        return GraphCompilation(seconds=grown["compilation_us"] / 1e6, count=grown["compilations"])

    def begin_rounds(self) -> None:
        self._when_rounds_began = _statistics()

    def problems(self) -> list[str]:
        grown = _statistics() - self._when_rounds_began
        if grown["compilations"]:
            del grown["recipe_cache_misses"]  # which every compilation is, too
        return [f"{grown[name]} {words}" for name, words in _PROBLEMS.items() if grown[name]]


class GaudiGeneration(PlainGeneration):
    """Greedy generation by optimum-habana's ``generate``, with the settings of its own text-generation script."""

    def __init__(self, model: Any, variant: Variant) -> None:
        """Changes the model's own generation configuration; whoever wants graphs has wrapped the model in them."""
        self._model, self._config, self._new_tokens = model, model.generation_config, variant.new_tokens
        from optimum.habana.checkpoint_utils import model_is_optimized

        self._search = variant.search
        options = variant.gaudi_options.on
        static = model_is_optimized(model.config)  # others feed the padding of static shapes to the model
        switches = {"use_cache": variant.kv_cache, "static_shapes": static, "ignore_eos": True}
        values = {
            **{"max_new_tokens": variant.new_tokens, "min_new_tokens": None, **switches},
            **dict.fromkeys((*_OFF, *OPTIONS), False),
            **{"bucket_size": -1, **options, "flash_attention_fast_softmax": "use_flash_attention" in options},
            **{"num_beams": 1, "penalty_alpha": None, "top_k": 50, **variant.search},
        }
        for name, value in values.items():
            setattr(self._config, name, value)
        self._arguments = {"lazy_mode": True, "hpu_graphs": variant.graphs, "ignore_eos": True}


def _statistics() -> Counter[str]:
    """Each of ``_STATISTICS`` until now; a metric that this release lacks counts as 0."""
    from habana_frameworks.torch.hpu.metrics import metric_global

    found: Counter[str] = Counter()
    for name, (metric, statistic) in _STATISTICS.items():
        if (of_bridge := metric_global(metric)) is not None:
            found[name] = int(dict(of_bridge.stats()).get(statistic, 0))
    return found


@functools.cache
def adapt_transformers() -> None:
    """Have optimum-habana replace parts of transformers, once.
    Raises UserError if it is not installed.
    """
    leave_out_scikit_learn()
    try:
        from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi
    except ImportError as error:
        raise UserError(
            f'optimum-habana cannot be imported ({error}): install it with pip install -e ".[hpu]"'
        ) from None
    adapt_transformers_to_gaudi()


def _without_cache_position(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Drop an argument that BLOOM's forward does not use, but that would make every step another graph.

    Without a cache, generate() counts it up by one a step, and its values are part of a graph's key: 100 graphs instead
    of one, each with its own copy of all logits.
    """

    @functools.wraps(forward)  # generate() looks at the signature
    def call(*args: Any, cache_position: Any = None, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    return call
