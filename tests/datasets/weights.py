"""Weights and a tokenizer, small enough to be made by a test."""

from __future__ import annotations

import json
from pathlib import Path

from gaudi_perf.vocabulary.workload import PROMPT
from tests.shapes import bloom


def small_weights(directory: Path, prompt_tokens: int) -> Path:
    """A directory as the hub's repositories are, whose tokenizer makes so many tokens (6 or 7) of the prompt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from gaudi_perf.generation.dummy import dummy_model

    words = ["a", "quantum", "effect", "the", "rise", "of", "cheap", "small", "satellites", "it", "was"]
    spaced = [f"Ġ{word}" for word in [*words, *PROMPT.split()[1:]]]
    # "DeepSpeed" is one token, or two.
    vocabulary = ["<unk>", "<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *dict.fromkeys(spaced)]
    vocabulary += [word for word in words if len(word) > 1]
    merges: list[tuple[str, str]] = []
    for word in [*dict.fromkeys(spaced), *words, "Deep", "Speed", *(["DeepSpeed"] if prompt_tokens == 6 else [])]:
        built = word[0]
        for letter in word[1:]:
            if word == "DeepSpeed":
                built, letter = "Deep", "Speed"
            if (built, letter) not in merges:
                merges.append((built, letter))
            built += letter
            if built not in vocabulary:
                vocabulary.append(built)
            if built == "DeepSpeed":
                break
    tokenizer = Tokenizer(models.BPE({word: n for n, word in enumerate(vocabulary)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"))
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BloomTokenizerFast", **names}))
    shape = bloom(hidden_size=32, layers=2, heads=4, vocabulary=len(vocabulary))
    dummy_model(shape, "float32").save_pretrained(directory, safe_serialization=True)
    return directory
