"""A small BLOOM through unmodified optimum-habana, all four variants in two types; prints what came of it as JSON.

argv: directory of the model, of which reference.py has written the tokens of plain transformers.
"""

import functools
import json
import sys

import torch

torch.set_num_threads(1)

from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi  # noqa: E402

adapt_transformers_to_gaudi()

import habana_frameworks.torch.hpu as hpu  # noqa: E402
from generating import configured, generate  # noqa: E402
from habana_frameworks.torch.hpu.metrics import metric_localcontext  # noqa: E402
from optimum.habana.utils.misc import get_habana_frameworks_version  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

MODEL = sys.argv[1]


def load(dtype, graphs, kvcache, drop_cache_position):
    model = AutoModelForCausalLM.from_pretrained(MODEL, torch_dtype=dtype).eval().to("hpu")
    assert type(model).__name__ == "GaudiBloomForCausalLM" and model.device.type == "hpu"
    if graphs:
        model = hpu.wrap_in_hpu_graph(model)
    if drop_cache_position:
        wrapped = model.forward

        @functools.wraps(wrapped)
        def forward(*args, cache_position=None, **kwargs):
            return wrapped(*args, **kwargs)

        model.forward = forward
    return configured(model, 100, kvcache)


def generation(model, graphs):
    """One generation, and what the device did meanwhile."""
    before = hpu.emulated_counters()
    with metric_localcontext("graph_compilation") as compiled, metric_localcontext("recipe_cache") as cache:
        tokens = generate(model, graphs)
        hpu.synchronize()
    after = hpu.emulated_counters()
    return {
        "tokens": tokens,
        "captures": after["captures"] - before["captures"],
        "replays": after["replays"] - before["replays"],
        "compilations": dict(compiled.stats())["TotalNumber"],
        "misses": dict(cache.stats())["TotalMiss"],
    }


def main():
    found = {"version": str(get_habana_frameworks_version())}
    for type_name in ("float32", "bfloat16"):
        for graphs in (True, False):
            for kvcache in (True, False):
                name = f"{type_name}-{'graphs' if graphs else 'eager'}-{'kvcache' if kvcache else 'nocache'}"
                model = load(getattr(torch, type_name), graphs, kvcache, False)
                found[name] = [generation(model, graphs) for _ in range(3)]
    model = load(torch.float32, True, False, True)
    found["float32-graphs-nocache-one-graph"] = [generation(model, True) for _ in range(2)]
    print("RESULTS " + json.dumps(found))


main()
