"""A model spread over several ranks by DeepSpeed-inference, tensor parallel, for every accelerator alike.

The model is made without memory, cut by DeepSpeed with BLOOM's injection policy, and its parts are filled from slices,
so no process ever holds more than its part. Graphs are not DeepSpeed's business here: upstream refuses them for model
parallelism, so an engine wraps or compiles the module itself, and one loading serves all variants.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import model_named

_GRAIN = 64
_SHARED_MEMORY_OPERATOR = "deepspeed_shm_comm"


def import_deepspeed() -> None:
    """Import DeepSpeed, and keep its shared-memory operator out.

    The operator is compiled on its first use and leaves 69 MB of shared memory behind for every rank, for good; without
    it, DeepSpeed uses the group's own collectives.

    Raises:
        UserError: it is not installed.
    """
    try:
        import deepspeed
        import deepspeed.ops
    except ImportError as error:
        raise UserError(f'several devices need DeepSpeed ({error}): pip install -e ".[deepspeed]"') from None
    deepspeed.ops.__compatible_ops__[_SHARED_MEMORY_OPERATOR] = False


def sharded_model(group: GroupSpec, progress: Callable[[str], None], filled_on: str = "cpu") -> Any:
    """This rank's part of the group's model, on its device. The group of ranks is set up already.

    Args:
        progress: takes a sentence for people.
        filled_on: where the values of dummy weights are made.

    Raises:
        UserError: the weights are not there, or not those of the model.
    """
    import deepspeed
    import torch
    import torch.distributed as dist
    from transformers import AutoModelForCausalLM
    from transformers.models.bloom.modeling_bloom import BloomBlock

    from gaudi_perf.generation.shards import fill, shapes_of

    rank, ranks = dist.get_rank(), dist.get_world_size()
    config, source_for = _source(group, filled_on)
    dtype = getattr(torch, group.dtype)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    whole = shapes_of(model)
    source = source_for(whole)
    deepspeed.init_distributed(dist.get_backend(), verbose=False)  # takes over the group that is there
    progress(f"cutting the model for {ranks} ranks")
    engine = deepspeed.init_inference(
        model,
        dtype=dtype,
        tensor_parallel=_even_parts(config.hidden_size, ranks),
        injection_policy={BloomBlock: ("self_attention.dense", "mlp.dense_4h_to_h")},
        replace_with_kernel_inject=False,
        enable_cuda_graph=False,
    )
    module = engine.module
    progress(f"{group.weights.label} weights, a part of {ranks}")
    try:
        fill(module, whole, rank, ranks, source)
    finally:
        source.close()
    return module.eval()


def pass_alone(module: Any, forward: Callable[..., Any], prompt_ids: list[int], device: str) -> None:
    """One forward pass of this rank's part of a model, without the sums over ranks.

    Args:
        module: as DeepSpeed has cut it.
        forward: its own, eager forward.
        prompt_ids: token ids of the prompt.
        device: where it is.
    """
    import torch

    layers = [layer for layer in module.modules() if getattr(layer, "mp_group", None) is not None]
    groups = [layer.mp_group for layer in layers]
    ids = torch.tensor([prompt_ids], device=device)
    try:
        for layer in layers:
            layer.mp_group = None  # DeepSpeed's layers then sum nothing up
        with torch.inference_mode():
            forward(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    finally:
        for layer, group in zip(layers, groups, strict=True):
            layer.mp_group = group


def _even_parts(hidden_size: int, ranks: int) -> dict[str, int]:
    """DeepSpeed's settings. It cuts by 64 columns (its ``tp_grain_size``) and gives some ranks more where that leaves a
    rest; only small models have one.
    """
    parts = {"tp_size": ranks}
    return parts if hidden_size % (_GRAIN * ranks) == 0 else {**parts, "tp_grain_size": 1}


def _source(group: GroupSpec, filled_on: str) -> tuple[Any, Callable[[dict[str, tuple[int, ...]]], Any]]:
    from gaudi_perf.generation.dummy import DummyValues, bloom_config
    from gaudi_perf.generation.shards import CheckpointSource, DummySource
    from gaudi_perf.generation.weights import checked_config, place_of, source_of

    if group.weights.kind == "dummy":
        shape = model_named(group.model).shape_at(group.scale)
        return bloom_config(shape), lambda whole: DummySource(DummyValues(shape, device=filled_on))
    config = checked_config(group)
    title, directory = source_of(group), Path(place_of(group))  # the rank has fetched the hub's files

    def checkpoint(whole: dict[str, tuple[int, ...]]) -> CheckpointSource:
        source = CheckpointSource(directory, title)
        source.check(whole)
        return source

    return config, checkpoint
