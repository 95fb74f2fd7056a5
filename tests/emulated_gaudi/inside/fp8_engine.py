"""The suite's Gaudi engine in FP8; prints, as JSON, what the check of outputs finds for each factor by which a scale of
one expert is wrong, and which parts of Falcon's attention are FP8.
"""

import json
import os
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


def spec(model, dtype, **more):
    return GroupSpec(engine="emulated-gaudi2", model=model, devices=1, scale="standin", dtype=dtype, **more)


def planted(factor):
    def wrong(self, *arguments):
        model = quantize(self, *arguments)
        layer = getattr(model.model.layers[1].block_sparse_moe.experts[EXPERT], MATRIX)
        layer.scale_weight = layer.scale_weight * factor
        return model

    return wrong


def check_of(factor):
    Quantizer.quantize = planted(factor)
    driver, mixtral = Driver(), spec("mixtral-8x7b", "fp8")
    loaded = driver.load(mixtral)
    driver.prepare(graphs=True, kv_cache=True, new_tokens=3)
    check = checked(driver, loaded, mixtral, driver.rounds(1).token_ids)
    Quantizer.quantize = quantize
    return {"problems": check.problems, "notes": check.notes}


def falcon():
    driver = Driver()
    narrow = spec("falcon-40b", "fp8kv")
    options = narrow.built.of_family.gaudi_defaults
    driver.load(spec("falcon-40b", "fp8kv", gaudi_options=options))
    parts = {type(module).__name__ for module in driver.worker.engine._model.modules()}
    tokens = []
    for graphs in (True, False):
        driver.prepare(graphs=graphs, kv_cache=True, new_tokens=3, gaudi_options=options)
        tokens.append(driver.rounds(1).token_ids)
    driver.load(spec("falcon-40b", "bfloat16"))
    return {"parts": sorted(parts), "tokens": tokens, "left": os.environ.get("QUANT_CONFIG")}


print("RESULTS " + json.dumps({"falcon": falcon(), **{str(factor): check_of(factor) for factor in (1.0, 2.0, 0.5)}}))
