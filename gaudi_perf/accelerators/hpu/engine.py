"""Gaudi, through optimum-habana: what its own text-generation script does for speed on BLOOM.

``adapt_transformers_to_gaudi``, lazy mode, static shapes, ``wrap_in_hpu_graph`` (``graphs``), and a warm-up that
captures every graph. The same code runs on the emulated Gaudi.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gaudi_perf.accelerators.base import Accelerator, Engine, Found
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.metrics import Counters, problems_in
from gaudi_perf.accelerators.hpu.stack import synapse_stack
from gaudi_perf.generation.import_patches import leave_out_scikit_learn
from gaudi_perf.generation.prompts import Prompt
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.measurement import GraphCompilation
from gaudi_perf.vocabulary.models import model_named
from gaudi_perf.vocabulary.outputs import TokenTrace
from gaudi_perf.vocabulary.stack import Device, Stack

# The board's name to the generation's (hl-smi's product names).
_GENERATIONS = {"HL-20": "gaudi", "HL-22": "gaudi2", "HL-32": "gaudi3"}

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


class HpuAccelerator(Accelerator):
    """The controller's side."""

    name = "hpu"
    kind = "hpu"
    telemetry = "pyhlml"
    backend = "hccl"

    def find(self) -> Found | None:
        """What hl-smi lists."""
        rows = hl_smi.query("name", "memory.total")
        if not rows:
            return None
        product, memory = rows[0]
        generation = next((name for prefix, name in _GENERATIONS.items() if product.startswith(prefix)), "gaudi")
        size = int(memory) * hl_smi.MIB if memory.isdecimal() else None
        return Found(name=generation, count=len(rows), memory_bytes=size)

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Lazy mode, which graphs need and which is no default since SynapseAI 1.21; metrics that judge validity."""
        return {
            "PT_HPU_LAZY_MODE": "1",
            "PT_HPU_ENABLE_LAZY_COLLECTIVES": "true",
            "PT_HPU_ENABLE_CACHE_METRICS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor"),  # else torch makes one that nobody removes
        }

    def engine(self) -> HpuEngine:
        """The worker's side."""
        return HpuEngine()


class HpuEngine(Engine):
    """Holds a BLOOM model on one Gaudi."""

    def __init__(self) -> None:
        self._hpu: Any = None
        self._model: Any = None
        self._plain_forward: Any = None
        self._group: GroupSpec | None = None
        self._variant: Variant | None = None
        self._compiled = Counters(graph_compilation="TotalNumber")
        self._rounds = Counters(graph_compilation="TotalNumber", cpu_fallback="TotalNumber", recipe_cache="TotalMiss")
        self._compile_time = Counters(graph_compilation="TotalTime")

    def import_for_ranks(self) -> None:
        """Torch, optimum-habana, DeepSpeed and hccl, in the order in which they find each other."""
        adapt_transformers()
        from gaudi_perf.generation.deepspeed import import_deepspeed

        import_deepspeed()
        import habana_frameworks.torch.distributed.hccl  # noqa: F401  (takes this rank's device, and registers hccl)

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """Adapt transformers, make or read the weights, put them on the device."""
        progress("importing torch and optimum-habana")
        adapt_transformers()
        import habana_frameworks.torch.hpu as hpu

        if not hpu.is_available():
            raise UserError("no Gaudi is available to PyTorch: is the driver loaded, and the device free? see hl-smi")
        self._hpu = hpu
        self._group = group
        self._model = self._loaded(group, progress)
        self._plain_forward = self._model.forward
        hpu.synchronize()

    def prompt(self) -> Prompt:
        """The prompt for these weights."""
        from gaudi_perf.generation.prompts import prompt_of

        assert self._group is not None
        return prompt_of(self._group)

    def device(self) -> Device:
        """The Gaudi; an emulated one says so in its properties."""
        name = str(self._hpu.get_device_name()).lower()
        if "emulated" in str(self._hpu.get_device_properties(0)).lower():
            name = f"emulated-{name}"
        memory = int(self._hpu.mem_get_info()[1])
        return Device(name=name, accelerator="hpu", memory_bytes=memory, available=int(self._hpu.device_count()))

    def stack(self) -> Stack:
        """SynapseAI's release, as the plug-in's metadata tell it, and every other component."""
        return synapse_stack(lazy=bool(self._hpu.is_lazy()))

    def prepare(self, variant: Variant) -> None:
        """Wrap the model in HPU graphs or unwrap it, and set what generate() reads."""
        self._unwrap()
        configuration = self._model.generation_config
        configuration.max_new_tokens = variant.new_tokens
        configuration.min_new_tokens = None
        configuration.do_sample = False
        configuration.use_cache = variant.kv_cache
        configuration.static_shapes = True
        configuration.ignore_eos = True
        configuration.bucket_size = -1
        for name in _OFF:
            setattr(configuration, name, False)
        if variant.graphs:
            self._wrap(variant.kv_cache)
        self._variant = variant
        self._compiled.begin()
        self._compile_time.begin()

    def generate(self, prompt_ids: list[int], on_token: Callable[[], None] | None = None) -> list[int]:
        """Generate as optimum-habana does; complete on the device when it returns."""
        assert self._variant is not None, "prepare() comes first"
        output = self._generate(prompt_ids, streamer=None if on_token is None else ticker(on_token))
        tokens = output[0, len(prompt_ids) : len(prompt_ids) + self._variant.new_tokens]
        return list(tokens.cpu().tolist())

    def trace(self, prompt_ids: list[int], token_ids: list[int], plain: bool) -> TokenTrace:
        """Led along the tokens by optimum-habana's generate, or in one pass of the model that no graph wraps."""
        from gaudi_perf.generation.tracing import Tracer, trace_of_one_pass

        if plain:
            return trace_of_one_pass(self._plain_forward, prompt_ids, token_ids, "hpu")
        tracer = Tracer(token_ids)
        self._generate(prompt_ids, logits_processor=tracer.processor())
        return tracer.trace

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        """Of this rank's part, by the forward that no graph wraps."""
        from gaudi_perf.generation.deepspeed import pass_alone

        pass_alone(self._model, self._plain_forward, prompt_ids, "hpu")
        return True

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """Complete a batch, padded to the variant's shape; generate() pads it on to its final length."""
        from gaudi_perf.generation.batches import padded

        assert self._variant is not None, "prepare() comes first"
        variant, pad = self._variant, self._model.config.pad_token_id
        ids, mask = padded(prompts, variant.batch_size, variant.prompt_tokens, pad, "hpu")
        output = self._generate_from(ids, mask)
        tokens = output[: len(prompts), variant.prompt_tokens : variant.prompt_tokens + variant.new_tokens]
        return list(tokens.cpu().tolist())

    def _generate(self, prompt_ids: list[int], **more: Any) -> Any:
        import torch

        assert self._variant is not None, "prepare() comes first"
        prompt = torch.tensor([prompt_ids] * self._variant.batch_size, device="hpu")
        return self._generate_from(prompt, torch.ones_like(prompt), **more)

    def _generate_from(self, ids: Any, mask: Any, **more: Any) -> Any:
        assert self._variant is not None, "prepare() comes first"
        return self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=self._model.generation_config,
            lazy_mode=True,
            hpu_graphs=self._variant.graphs,
            ignore_eos=True,
            **more,
        )

    def synchronize(self) -> None:
        """Wait for the device."""
        self._hpu.synchronize()

    def reset_peak_memory(self) -> None:
        """Forget the peak."""
        self._hpu.reset_peak_memory_stats()

    def peak_memory_bytes(self) -> int | None:
        """The device's peak."""
        return int(self._hpu.max_memory_allocated())

    def graph_compilation(self) -> GraphCompilation | None:
        """Graphs compiled since the variant was prepared; the bridge tells microseconds."""
        count = self._compiled.grown()["graph_compilation"]
        if not count:
            return None
        return GraphCompilation(seconds=self._compile_time.grown()["graph_compilation"] / 1e6, count=int(count))

    def begin_rounds(self) -> None:
        """Remember the counters."""
        self._rounds.begin()

    def problems(self) -> list[str]:
        """A compilation, a recipe-cache miss or a CPU fallback inside the rounds."""
        return problems_in(self._rounds.grown())

    @staticmethod
    def _loaded(group: GroupSpec, progress: Callable[[str], None]) -> Any:
        if group.devices > 1:
            from gaudi_perf.generation.deepspeed import sharded_model

            return _unconverted_cache(sharded_model(group, HpuAccelerator.backend, progress))
        from gaudi_perf.generation.dummy import dummy_model
        from gaudi_perf.generation.weights import load_model

        shape = model_named(group.model).shape_at(group.scale)
        progress(f"{group.weights.label} weights, {shape.weight_bytes(group.dtype) / 1e9:.2g} GB")
        model = dummy_model(shape, group.dtype) if group.weights.kind == "dummy" else load_model(group)
        return model.to("hpu")

    def _wrap(self, kv_cache: bool) -> None:
        from habana_frameworks.torch.hpu import wrap_in_hpu_graph

        self._model = wrap_in_hpu_graph(self._model)
        if not kv_cache:
            self._model.forward = _without_cache_position(self._model.forward)

    def _unwrap(self) -> None:
        if hasattr(self._model, "clear_cache"):
            self._model.clear_cache()  # captured graphs and their buffers
        self._model.forward = self._plain_forward


@functools.cache
def adapt_transformers() -> None:
    """Have optimum-habana replace parts of transformers, once.

    Raises:
        UserError: it is not installed.
    """
    import torch  # noqa: F401  (before anything of Habana)

    leave_out_scikit_learn()
    try:
        from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi
    except ImportError as error:
        raise UserError(
            f'optimum-habana cannot be imported ({error}): install it with pip install -e ".[hpu]"'
        ) from None
    adapt_transformers_to_gaudi()


def _unconverted_cache(model: Any) -> Any:
    """The model, which takes its cache as it is.

    It is in BLOOM's format always, [batch x heads, ...]. optimum-habana 1.21 tells that from [batch, heads, ...] by the
    first dimension, which is the same where a rank has one head, and fails to convert it.
    """
    model._convert_to_bloom_cache = lambda past_key_values: past_key_values
    return model


def ticker(on_token: Callable[[], None]) -> Any:
    """A streamer that calls a function for every new token."""
    from gaudi_perf.generation.plain import Ticker

    return Ticker(on_token)


def _without_cache_position(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Drop an argument that BLOOM's forward does not use, but that would make every step another graph.

    Without a cache, generate() counts it up by one a step, and its values are part of a graph's key: 100 graphs instead
    of one, each with its own copy of all logits.
    """

    @functools.wraps(forward)  # generate() looks at the signature
    def call(*args: Any, cache_position: Any = None, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    return call
