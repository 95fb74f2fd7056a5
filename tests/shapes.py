"""Small models of tests."""

from __future__ import annotations

from gaudi_perf.vocabulary.architectures import Architecture, architecture_of

_CHANGES = {
    "bloom": {"hidden_size": 1024, "n_layer": 24, "n_head": 16},
    "falcon": {"num_attention_heads": 128, "hidden_size": 8192, "num_kv_heads": 8, "new_decoder_architecture": True},
    "deepseek_v2": {"num_experts_per_tok": 6, "first_k_dense_replace": 1},
}
"""Where the configuration class of transformers has defaults that nobody published."""


def published(family: str) -> Architecture:
    """That of the family's configuration class: of one that was published."""
    from transformers import AutoConfig

    fields = {**AutoConfig.for_model(family).to_dict(), "model_type": family, **_CHANGES.get(family, {})}
    return architecture_of(fields, family)[0]


def bloom(hidden_size: int, layers: int, heads: int, vocabulary: int = 250880) -> Architecture:
    """A BLOOM of these sizes, with the special tokens of the published ones."""
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    sizes = {"vocab_size": vocabulary, "hidden_size": hidden_size, "n_layer": layers, "n_head": heads}
    return Architecture(family="bloom", configuration=sizes | tokens)
