"""How optimum-habana's own script asks for a greedy generation; imported once transformers is adapted."""

import torch

PROMPT = [[365, 265, 263, 361, 357, 364, 300]]
_OFF = (
    "trim_logits",
    "reuse_cache",
    "limit_hpu_graphs",
    "bucket_internal",
    "reduce_recompile",
    "attn_softmax_bf16",
    "use_flash_attention",
    "clear_hpu_graphs_cache",
    "do_sample",
)


def configured(model, new_tokens, kvcache=True):
    config = model.generation_config
    config.max_new_tokens, config.use_cache, config.static_shapes, config.bucket_size = new_tokens, kvcache, True, -1
    for name in _OFF:
        setattr(config, name, False)
    return model


def generate(model, graphs):
    """The token ids of one generation."""
    ids = torch.tensor(PROMPT, device="hpu")
    return model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=model.generation_config,
        lazy_mode=True,
        hpu_graphs=graphs,
        ignore_eos=True,
    )[0].tolist()
