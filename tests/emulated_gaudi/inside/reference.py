"""A small BLOOM with random weights and what plain transformers generates from it; no emulation here.

argv: directory to write. Its keys lack the prefix "transformer.", as the hub's BLOOMZ and DeepSpeed's loader want it.
"""

import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import BloomConfig, BloomForCausalLM

assert "habana_frameworks" not in sys.modules
torch.set_num_threads(1)
torch.manual_seed(0)
directory = sys.argv[1]
# A wide initialisation: else greedy output repeats one token and equality proves nothing.
config = BloomConfig(
    vocab_size=1000,
    hidden_size=128,
    n_layer=2,
    n_head=8,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=3,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    initializer_range=0.5,
)
model = BloomForCausalLM(config).eval()
model.save_pretrained(directory)
weights = f"{directory}/model.safetensors"
save_file(
    {key.removeprefix("transformer."): tensor for key, tensor in load_file(weights).items()},
    weights,
    metadata={"format": "pt"},
)
model.generation_config.eos_token_id = None
prompt = torch.tensor([[365, 265, 263, 361, 357, 364, 300]])


def tokens(kvcache):
    mask = torch.ones_like(prompt)
    out = model.generate(prompt, attention_mask=mask, max_new_tokens=100, do_sample=False, use_cache=kvcache)
    return out[0].tolist()


reference = {f"float32-{name}": tokens(name == "kvcache") for name in ("kvcache", "nocache")}
model = model.to(torch.bfloat16)
reference |= {f"bfloat16-own-gelu-{name}": tokens(name == "kvcache") for name in ("kvcache", "nocache")}
# optimum-habana replaces BLOOM's own GELU, which rounds after each of its steps in 16 bit, by torch's.
for block in model.transformer.h:
    block.mlp.gelu_impl = torch.nn.GELU(approximate="tanh")
reference |= {f"bfloat16-{name}": tokens(name == "kvcache") for name in ("kvcache", "nocache")}
with open(f"{directory}/reference.json", "w") as file:
    json.dump(reference, file)
