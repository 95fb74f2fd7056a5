"""Small models of tests."""

from __future__ import annotations

from gaudi_perf.vocabulary.architectures import Architecture


def bloom(hidden_size: int, layers: int, heads: int, vocabulary: int = 250880) -> Architecture:
    """A BLOOM of these sizes, with the special tokens of the published ones."""
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    sizes = {"vocab_size": vocabulary, "hidden_size": hidden_size, "n_layer": layers, "n_head": heads}
    return Architecture(family="bloom", configuration=sizes | tokens)
