"""Real weights: from the Hugging Face hub or from a directory. safetensors only, and never code from either."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, BloomConfig, BloomForCausalLM, PreTrainedTokenizerBase

from gaudi_perf.generation.dummy import bloom_config
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import model_named


def load_model(group: GroupSpec) -> BloomForCausalLM:
    """The group's model with its real weights, on the CPU, in the group's dtype.

    Raises:
        UserError: the weights are not there, not safetensors, or of another model.
    """
    source = source_of(group)
    config = checked_config(group)
    try:
        loaded, report = AutoModelForCausalLM.from_pretrained(
            place_of(group),
            config=config,
            torch_dtype=getattr(torch, group.dtype),
            use_safetensors=True,
            low_cpu_mem_usage=True,
            trust_remote_code=False,  # unset, transformers may ask on the terminal
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"--weights {group.weights.kind}: {source} cannot be loaded ({_line(error)}): are the files whole, and "
            "config.json of these weights?"
        ) from None
    missing = sorted(report["missing_keys"])
    if missing:  # transformers makes them up
        raise UserError(
            f"--weights {group.weights.kind}: {source} lacks {len(missing)} weights of the model, such as "
            f"{missing[0]}: is every file there, and config.json of these weights?"
        )
    return loaded.eval()


def checked_config(group: GroupSpec) -> BloomConfig:
    """The configuration of the group's real weights.

    Raises:
        UserError: there is none, or it is that of another model.
    """
    source, place = source_of(group), Path(place_of(group))
    if group.weights.kind == "path":
        if not (place / "config.json").is_file():
            raise UserError(f"--weights {place}: has no config.json: name a directory as the hub's repositories are")
        if not any(place.glob("*.safetensors")):
            raise UserError(
                f"--weights {place}: has no *.safetensors file: other formats are not read, convert them first"
            )
    try:
        fields, _ = BloomConfig.get_config_dict(str(place))
        config = BloomConfig.from_dict(fields)
        kinds = {str(kind) for kind in fields.get("architectures") or [fields.get("model_type", "bloom")]}
    except Exception as error:  # a field of another type raises whatever it leads to
        remedy = (
            "name a directory as the hub's repositories are"
            if place.is_dir()
            else "is the hub reachable, or HF_HUB_OFFLINE set? --weights dummy needs neither"
        )
        raise UserError(f"--weights: {source}: its config.json cannot be read ({_line(error)}): {remedy}") from None
    if not {"BloomForCausalLM", "BloomModel", "bloom"} & kinds:
        found = ", ".join(sorted(kinds))
        raise UserError(f"--weights: {source} is no BloomForCausalLM but {found}: name a directory with BLOOM weights")
    if group.weights.kind == "path" and group.scale == "full":
        model = model_named(group.model)
        published = bloom_config(model.shape)
        differing = [
            f"{name} is {found}, not {wanted}"
            for name in ("hidden_size", "n_layer", "n_head", "vocab_size")
            if (found := getattr(config, name)) != (wanted := getattr(published, name))
        ]
        if differing:
            raise UserError(
                f"--weights {source}: is not {model.title}: {', '.join(differing)}; "
                "use --scale standin for other shapes"
            )
    return config


def load_tokenizer(group: GroupSpec) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to the group's weights.

    Raises:
        UserError: there is none.
    """
    source = source_of(group)
    try:
        return AutoTokenizer.from_pretrained(place_of(group), use_fast=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises plain Exception for a broken file
        raise UserError(
            f"--weights {group.weights.kind}: {source} has no tokenizer that can be loaded ({_line(error)}): "
            "put tokenizer.json beside the weights, or use --weights dummy"
        ) from None


def source_of(group: GroupSpec) -> str:
    """Where the group's weights come from, as people call it: a directory, or a repository on the hub."""
    return group.weights.path if group.weights.kind == "path" else model_named(group.model).hub_id


def place_of(group: GroupSpec) -> str:
    """Where the group's files are read: a directory, or the hub's repository if nothing was fetched of it yet."""
    return group.weights.path or source_of(group)


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
