"""Gaudi's worker, through optimum-habana: what its own text-generation script does for speed on BLOOM.

``adapt_transformers_to_gaudi``, lazy mode, static shapes, ``wrap_in_hpu_graph`` (``graphs``), and a warm-up that
captures every graph. The same code runs on the emulated Gaudi.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gaudi_perf.accelerators.hpu.generation import GaudiGeneration
from gaudi_perf.accelerators.hpu.metrics import Counters
from gaudi_perf.accelerators.hpu.stack import synapse_stack
from gaudi_perf.accelerators.torch_engine import Generation, TorchEngine
from gaudi_perf.generation.import_patches import leave_out_scikit_learn
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import GraphCompilation
from gaudi_perf.vocabulary.stack import Device, Stack


class HpuEngine(TorchEngine):
    """Holds a BLOOM model, or a rank's part of it, on one Gaudi."""

    device_type = "hpu"
    library = "optimum-habana"

    def __init__(self) -> None:
        super().__init__()
        self._hpu: Any = None
        self._since_prepared, self._since_rounds = Counters(), Counters()

    def import_libraries(self) -> None:
        """PyTorch, and optimum-habana in place of parts of transformers."""
        adapt_transformers()

    def import_for_ranks(self) -> None:
        """Torch, optimum-habana, DeepSpeed and hccl, in the order in which they find each other."""
        super().import_for_ranks()
        import habana_frameworks.torch.distributed.hccl  # noqa: F401  (takes this rank's device, and registers hccl)

    def take_device(self) -> None:
        """See that PyTorch has a Gaudi."""
        import habana_frameworks.torch.hpu as hpu

        if not hpu.is_available():
            raise UserError("no Gaudi is available to PyTorch: is the driver loaded, and the device free? see hl-smi")
        self._hpu = hpu

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """As every engine; complete on the device when it returns."""
        super().load(group, progress)
        if group.devices > 1:
            take_the_cache_as_it_is(self._model)
        self.synchronize()

    def device(self) -> Device:
        """The Gaudi; an emulated one says so in its properties."""
        name = str(self._hpu.get_device_name()).lower()
        if "emulated" in str(self._hpu.get_device_properties(0)).lower():
            name = f"emulated-{name}"
        memory = int(self._hpu.mem_get_info()[1])
        return Device(name=name, accelerator="hpu", memory_bytes=memory, available=int(self._hpu.device_count()))

    def stack(self) -> Stack:
        """SynapseAI's release, by the plug-in's metadata, and every other component."""
        return synapse_stack(lazy=bool(self._hpu.is_lazy()))

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
        self._since_prepared.begin()
        return GaudiGeneration(self._model, variant)

    def close(self) -> None:
        """Unwrap the model."""
        super().close()
        if self._model is not None:
            if hasattr(self._model, "clear_cache"):
                self._model.clear_cache()  # captured graphs and their buffers
            self._model.forward = self._forward

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
        """Graphs compiled since the variant was prepared; the bridge reports microseconds."""
        grown = self._since_prepared.grown()
        if not grown["compilations"]:
            return None
        return GraphCompilation(seconds=grown["compilation_us"] / 1e6, count=int(grown["compilations"]))

    def begin_rounds(self) -> None:
        """Remember the counters."""
        self._since_rounds.begin()

    def problems(self) -> list[str]:
        """A compilation, a recipe-cache miss or a CPU fallback inside the rounds."""
        return self._since_rounds.problems()


@functools.cache
def adapt_transformers() -> None:
    """Have optimum-habana replace parts of transformers, once.

    Raises:
        UserError: it is not installed.
    """
    leave_out_scikit_learn()
    try:
        from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi
    except ImportError as error:
        raise UserError(
            f'optimum-habana cannot be imported ({error}): install it with pip install -e ".[hpu]"'
        ) from None
    adapt_transformers_to_gaudi()


def take_the_cache_as_it_is(model: Any) -> None:
    """Have a model take BLOOM's cache without a conversion.

    It is in BLOOM's format always, [batch x heads, ...]. optimum-habana 1.21 knows that from [batch, heads, ...] by the
    first dimension, which is the same where a rank has one head, and fails to convert it.
    """
    model._convert_to_bloom_cache = lambda past_key_values: past_key_values


def _without_cache_position(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Drop an argument that BLOOM's forward does not use, but that would make every step another graph.

    Without a cache, generate() counts it up by one a step, and its values are part of a graph's key: 100 graphs instead
    of one, each with its own copy of all logits.
    """

    @functools.wraps(forward)  # generate() looks at the signature
    def call(*args: Any, cache_position: Any = None, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    return call
