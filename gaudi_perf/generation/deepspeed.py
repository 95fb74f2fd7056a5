"""A model spread over several ranks by DeepSpeed-inference, tensor parallel, for every accelerator alike.

The model is made without memory, cut by DeepSpeed where families.toml says, and its parts are filled from slices, so no
process ever holds more than its part. How a module was cut is read off its parameters' shapes: where a dimension is a
rank's share of the published one, the rank takes its slice of it. Graphs are not DeepSpeed's business here: upstream
refuses them for model parallelism, so an engine wraps or compiles the module itself, and one loading serves all
variants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.stores.models import checkpoint_files
from gaudi_perf.vocabulary.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]
"""Of whole weights, by their names in the model."""
Read = Callable[[str, tuple[int, ...], tuple[slice, ...]], torch.Tensor]
"""A slice of a weight, by name and shape of the whole one, with a slice for each dimension."""
_GRAIN = 64  # columns
_SHARED_MEMORY_OPERATOR = "deepspeed_shm_comm"


def import_deepspeed() -> None:
    """Import DeepSpeed, and keep its shared-memory operator out.

    The operator is compiled on its first use and leaves 69 MB of shared memory behind for every rank, for good; without
    it, DeepSpeed uses the group's own collectives.
    Raises UserError if it is not installed.
    """
    try:
        import deepspeed
        import deepspeed.ops
    except ImportError as error:
        raise UserError(f'several devices need DeepSpeed ({error}): pip install -e ".[deepspeed]"') from None
    deepspeed.ops.__compatible_ops__[_SHARED_MEMORY_OPERATOR] = False


def sharded_model(
    group: GroupSpec, progress: Callable[[str], None], filled_on: str = "cpu", attention: str | None = None
) -> Any:
    """This rank's part of the group's model, on its device. The group of ranks is set up already.

    ``progress`` takes a sentence for people, ``filled_on`` is where the values of dummy weights are made, ``attention``
    that of ``config_of``. Raises UserError if the weights are not there, or not those of the model.
    """
    import deepspeed

    from gaudi_perf.generation.dummy import DummyValues, config_of, model_without_memory
    from gaudi_perf.generation.weights import checked_config, place_of, source_of

    rank, ranks = dist.get_rank(), dist.get_world_size()
    dummy = group.built if group.weights.kind == "dummy" else None
    config = checked_config(group, attention) if dummy is None else config_of(dummy, attention)
    dtype = getattr(torch, group.carried_dtype)
    model = model_without_memory(config, group.carried_dtype)
    whole = shapes_of(model)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with ExitStack() as files:
        if dummy is not None:
            read = DummyValues(dummy, device=filled_on).read
        else:  # the rank has fetched the hub's files
            read = files.enter_context(Checkpoint(Path(place_of(group)), source_of(group), model)).read
        deepspeed.init_distributed(dist.get_backend(), verbose=False)  # takes over the group that is there
        progress(f"cutting the model for {ranks} ranks")
        parts = {"tp_size": ranks}
        if any(size % (_GRAIN * ranks) for shape in whole.values() for size in shape if size % ranks == 0):
            # DeepSpeed cuts by 64 columns, and gives some ranks more where that leaves a rest, as in small models.
            parts["tp_grain_size"] = 1
        engine = deepspeed.init_inference(
            model,
            dtype=dtype,
            tensor_parallel=parts,
            injection_policy=_injection_policy(model, group.built.of_family.split),
            replace_with_kernel_inject=False,
            enable_cuda_graph=False,
        )
        progress(f"{group.weights.label} weights, a part of {ranks}")
        fill(engine.module, whole, rank, ranks, read)
    for name, buffer in engine.module.named_buffers():  # of which DeepSpeed keeps the shapes only
        buffer.copy_(buffers[name])
    return engine.module.eval()


def _injection_policy(model: torch.nn.Module, endings: str) -> dict[type[torch.nn.Module], tuple[str, ...]]:
    """DeepSpeed's: the class of the layers, and the matrices in them whose results are summed up over ranks, each with
    the module that it lies in.
    """
    layer = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))[-1]
    paths = [name.split(".") for name, _ in layer.named_modules() if name]
    summed = dict.fromkeys(".".join(["", *path][-2:]) for path in paths if path[-1] in endings.split())
    return {type(layer): tuple(summed)}


def pass_alone(module: Any, forward: Callable[..., Any], prompt_ids: list[int], device: str) -> None:
    """One pass of a model's own, eager ``forward`` over this rank's part, without the sums over ranks."""
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


class Checkpoint(ExitStack):
    """A directory of safetensors files, mapped into memory: what ranks of a host read comes from the disk once."""

    def __init__(self, directory: Path, title: str, model: Any) -> None:
        """Looks for all weights of a model that is not cut yet; reads none. ``title`` is the directory's in sentences.
        Raises UserError if the files are not whole, or a weight is missing or has another shape.
        """
        super().__init__()
        self._title = title
        self._prefix = f"{model.base_model_prefix}."
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        every = model.named_parameters(remove_duplicate=False)
        self._first = {name: names[id(parameter)] for name, parameter in every}  # of those of one parameter
        self._places: dict[str, Any] = {}
        for path in checkpoint_files(directory, title):
            try:
                file = self.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise UserError(f"--weights: {path.name} of {title} cannot be read ({error}): is it whole?") from None
            self._places.update(dict.fromkeys(file.keys(), file))
        for name, shape in shapes_of(model).items():
            key = self._key(name)
            found = tuple(self._places[key].get_slice(key).get_shape())
            if found != shape:
                raise UserError(
                    f"--weights: {key} of {title} has the shape {list(found)}, not {list(shape)}: is config.json "
                    "that of these weights?"
                )

    def read(self, name: str, whole: tuple[int, ...], part: tuple[slice, ...]) -> torch.Tensor:
        """A slice of a weight, on the host; only its bytes are read."""
        key = self._key(name)
        try:
            return torch.as_tensor(self._places[key].get_slice(key)[part])
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"--weights: {key} of {self._title} cannot be read ({error}): are the files whole?"
            ) from None

    def _key(self, name: str) -> str:
        # Checkpoints of the hub lack the model's first name, those that transformers saves have it.
        for known in (name, self._first[name]):
            for candidate in (known, known.removeprefix(self._prefix)):
                if candidate in self._places:
                    return candidate
        raise UserError(f"--weights: {self._title} lacks the weight {name}: is every file there?")


def fill(module: torch.nn.Module, whole: Shapes, rank: int, ranks: int, read: Read) -> None:
    """Give every parameter of a module that DeepSpeed has cut for so many ranks its values, one after the other;
    ``whole`` are the shapes before.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            part = []
            for size, of_whole in zip(parameter.shape, whole[name], strict=True):
                if size not in (of_whole, of_whole / ranks):
                    raise RuntimeError(f"{name}: {size} of {of_whole} is no {ranks}th of a dimension")
                begin = 0 if size == of_whole else rank * size
                part.append(slice(begin, begin + size))
            parameter.copy_(read(name, whole[name], tuple(part)).to(parameter.dtype))


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter; of one that has several names (a tied head), once for each: cut differently, they
    are no longer one tensor.
    """
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters(remove_duplicate=False)}
