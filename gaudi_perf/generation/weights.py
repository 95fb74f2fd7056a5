"""Real weights: from the Hugging Face hub or from a directory. safetensors only, and never code from either."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from gaudi_perf.generation.dummy import config_of
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.stores.models import checkpoint_fields, hub_fields
from gaudi_perf.vocabulary.architectures import architecture_of
from gaudi_perf.vocabulary.documents import sentence
from gaudi_perf.vocabulary.errors import UserError


def load_model(group: GroupSpec, attention: str | None = None) -> Any:
    """The group's model with its real weights, on the CPU, in the group's dtype.
    Raises UserError if the weights are not there, not safetensors, or of another model.
    """
    source = source_of(group)
    config = checked_config(group, attention)
    try:
        loaded, report = AutoModelForCausalLM.from_pretrained(
            place_of(group),
            config=config,
            torch_dtype=getattr(torch, group.carried_dtype),
            use_safetensors=True,
            low_cpu_mem_usage=find_spec("accelerate") is not None,  # older transformers need it for that
            trust_remote_code=False,  # unset, transformers may ask on the terminal
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"--weights {group.weights.kind}: {source} cannot be loaded ({sentence(error)}): are the files whole, and "
            "config.json of these weights?"
        ) from None
    missing = sorted(report["missing_keys"])
    if missing:  # transformers makes them up
        raise UserError(
            f"--weights {group.weights.kind}: {source} lacks {len(missing)} weights of the model, such as "
            f"{missing[0]}: is every file there, and config.json of these weights?"
        )
    return loaded.eval()


def checked_config(group: GroupSpec, attention: str | None = None) -> PretrainedConfig:
    """The configuration of the group's real weights, as the allow list of its family takes it; ``attention`` is that of
    ``config_of``.
    Raises UserError if there is none, it is that of another model, or the weights are quantized.
    """
    source = f"--weights {source_of(group)}"
    if group.weights.kind == "path":
        place = Path(place_of(group))
        fields = checkpoint_fields(place, source)
        if not any(place.glob("*.safetensors")):
            raise UserError(
                f"--weights {place}: has no *.safetensors file: other formats are not read, convert them first"
            )
    elif group.weights.path:
        fields = checkpoint_fields(Path(group.weights.path), source)
    else:
        fields = hub_fields(group.repository, "--weights hub:", "take --weights dummy, which needs no file")
    found, _ = architecture_of(fields, f"{source}: config.json")
    if isinstance(fields, dict) and fields.get("quantization_config") is not None:
        raise UserError(
            f"{source}: its weights are quantized (quantization_config): name others, they are not measured"
        )
    wanted = group.built
    if found.family != wanted.family:
        raise UserError(
            f"{source}: is of the architecture {found.family}, and {group.model} is of {wanted.family}: name a "
            "directory with its weights"
        )
    # BLOOMZ's stand-ins may be other BLOOMs than they say; whatever else is measured, its case has the digest of.
    if group.architecture is not None or (group.weights.kind == "path" and group.scale == "full"):
        differing = [
            f"{wanted.of_family.name_of(size)} is {found.size(size)}, not {wanted.size(size)}"
            for size in ("width", "layers", "heads", "kv_heads", "vocabulary")
            if found.size(size) != wanted.size(size)
        ]
        if differing:
            if group.architecture is None:
                remedy = "use --scale standin for other shapes"
            elif group.scale == "standin":
                remedy = "real weights have the published shape: add --scale full"
            else:
                remedy = "name its directory or repository with --model, too"
            raise UserError(f"{source}: is not {group.model}: {', '.join(differing)}; {remedy}")
    return config_of(found, attention)


def load_tokenizer(group: GroupSpec) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to the group's weights.
    Raises UserError if there is none.
    """
    source, place = source_of(group), Path(place_of(group))
    try:
        return AutoTokenizer.from_pretrained(place_of(group), use_fast=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises plain Exception for a broken file
        what = f"tokenizer that can be loaded ({sentence(error)})"
        if place.is_dir() and not (place / "tokenizer.json").is_file():
            what = "tokenizer.json"  # without it transformers asks for what converts other files
        raise UserError(
            f"--weights {group.weights.kind}: {source} has no {what}: "
            "put tokenizer.json beside the weights, or use --weights dummy"
        ) from None


def source_of(group: GroupSpec) -> str:
    """Where the group's weights come from, as people call it: a directory, or a repository on the hub."""
    return group.weights.path if group.weights.kind == "path" else group.repository


def place_of(group: GroupSpec) -> str:
    """Where the group's files are read: a directory, or the hub's repository if nothing was fetched of it yet."""
    return group.weights.path or source_of(group)
