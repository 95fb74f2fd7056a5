"""One of two ranks: DeepSpeed shards a small BLOOM as optimum-habana asks, graphs around it. argv: the model."""

import json
import os
import sys
import tempfile

import torch

torch.set_num_threads(1)

from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi  # noqa: E402

adapt_transformers_to_gaudi()

import deepspeed  # noqa: E402
import habana_frameworks.torch.hpu as hpu  # noqa: E402
from generating import configured, generate  # noqa: E402
from optimum.habana.checkpoint_utils import get_ds_injection_policy, write_checkpoints_json  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

MODEL, RANK = sys.argv[1], int(os.environ["RANK"])
deepspeed.init_distributed(dist_backend="hccl")
config = AutoConfig.from_pretrained(MODEL, torch_dtype=torch.float32)
with deepspeed.OnDevice(dtype=torch.float32, device="meta"):
    model = AutoModelForCausalLM.from_config(config, torch_dtype=torch.float32)
with tempfile.NamedTemporaryFile(suffix=".json", mode="w+") as checkpoints:
    write_checkpoints_json(MODEL, RANK, checkpoints)
    engine = deepspeed.init_inference(
        model.eval(),
        dtype=torch.float32,
        tensor_parallel={"tp_size": 2},
        enable_cuda_graph=False,
        injection_policy=get_ds_injection_policy(config),
        checkpoint=checkpoints.name,
    )
model = configured(hpu.wrap_in_hpu_graph(engine.module), 20)
for _ in range(2):
    tokens = generate(model, True)
print(
    "RESULTS "
    + json.dumps(
        {
            "tokens": tokens,
            "device": str(model.device),
            "accelerator": deepspeed.get_accelerator().current_device_name(),
            "captures": hpu.emulated_counters()["captures"],
            "replays": hpu.emulated_counters()["replays"],
            "sharded": list(model.transformer.h[0].mlp.dense_h_to_4h.weight.shape),
        }
    )
)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
