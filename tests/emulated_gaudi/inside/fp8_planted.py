"""The suite's Gaudi engine with a mixture of experts in FP8, one of whose scales is wrong; prints, as JSON, what the
check of outputs finds for each factor by which it is wrong.
"""

import json
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parents[3]))  # where tests are

from gaudi_perf.accelerators.hpu.fp8 import Quantizer  # noqa: E402
from gaudi_perf.protocol import GroupSpec  # noqa: E402
from tests.accelerators.test_fp8 import Driver, checked  # noqa: E402

EXPERT, MATRIX = 5, "w2"
quantize = Quantizer.quantize


def planted(factor):
    def wrong(self, *arguments):
        model = quantize(self, *arguments)
        layer = getattr(model.model.layers[1].block_sparse_moe.experts[EXPERT], MATRIX)
        layer.scale_weight = layer.scale_weight * factor
        return model

    return wrong


found = {}
for factor in (1.0, 2.0, 0.5):
    Quantizer.quantize = planted(factor)
    driver = Driver()
    spec = GroupSpec(engine="emulated-gaudi2", model="mixtral-8x7b", devices=1, scale="standin", dtype="fp8")
    loaded = driver.load(spec)
    driver.prepare(graphs=True, kv_cache=True, new_tokens=3)
    tokens = driver.rounds(1).token_ids
    check = checked(driver, loaded, spec, tokens)
    found[str(factor)] = {"problems": check.problems, "notes": check.notes}
print("RESULTS " + json.dumps(found))
