"""Where a padded row parts from the same prompt alone, and how near the logits of the two tokens are there.

    python benchmarks/padded_rows.py llama3.1-8b bloomz7b

Both are transformers' own ``generate`` with the KV cache; the first of three rows is padded on the left. A step is the
distance between neighbouring numbers of the type at the logits' size.
"""

from __future__ import annotations

import argparse
import math

import torch

from gaudi_perf.accelerators.torch_engine import padded
from gaudi_perf.generation.dummy import dummy_model
from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.generation.tracing import Tracer
from gaudi_perf.statistics.outputs import UNIT_ROUNDOFF, first_difference, relative_rounding
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.run import TokenTrace
from gaudi_perf.vocabulary.workload import FIXED_PROMPT_IDS, Dtype, fixed_ids


def main() -> None:
    """Print a line for each model, type and width."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="+")
    parser.add_argument("--widths", type=int, nargs="+", default=[9, 16, 32])
    parser.add_argument("--new-tokens", type=int, default=40)
    arguments = parser.parse_args()
    for name in arguments.model:
        for dtype in ("bfloat16", "float32"):
            for width in arguments.widths:
                print(f"{name:14} {dtype:9} {width:3}  {parting(name, dtype, width, arguments.new_tokens)}")


def parting(name: str, dtype: Dtype, width: int, new: int) -> str:
    """What is seen of a model at a width."""
    built = shipped_model(name).standin
    model = dummy_model(built, dtype)
    row = list(FIXED_PROMPT_IDS)
    rows = [row, fixed_ids("another", width, built.vocabulary), fixed_ids("third", width, built.vocabulary)]
    ids, mask = padded(rows, 3, width, model.config.pad_token_id, "cpu")
    generation = PlainGeneration(model, new, True)
    together = generation(ids, mask=mask)[0].tolist()
    alone = generation(torch.tensor([row]))[0].tolist()
    ours, theirs = Tracer([alone] * 3), Tracer([alone])
    generation(ids, mask=mask, tracer=ours)
    generation(torch.tensor([row]), tracer=theirs)
    in_batch, by_itself = ours.traces[0], theirs.traces[0]
    apart = max(_apart(in_batch, by_itself, step) for step in range(new))
    allowed = relative_rounding(dtype, built)
    found = f"logits at most {apart:.2%} of their spread apart, rounding allows {allowed:.2%}; "
    at = first_difference(together, alone)
    if at is None:
        return f"{found}the same {new} tokens"
    one, other = (_logit(by_itself, at, token) for token in (alone[at], together[at]))
    # 2 u is the distance of 1 to the next number (Higham 2002, 2.1).
    step = 2 * UNIT_ROUNDOFF[dtype] * 2.0 ** math.floor(math.log2(abs(one)))
    steps = (one - other) / step
    return f"{found}token {at + 1} parts: alone {one:.5g} and {other:.5g}, {steps:.3g} steps of {dtype} apart"


def _apart(ours: TokenTrace, theirs: TokenTrace, step: int) -> float:
    differences = torch.tensor(ours.sample[step]) - torch.tensor(theirs.sample[step])
    return float(differences.std(correction=0)) / theirs.spread[step]


def _logit(trace: TokenTrace, step: int, token: int) -> float:
    return trace.logits[step][trace.likeliest[step].index(token)]


if __name__ == "__main__":
    main()
