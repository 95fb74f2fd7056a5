"""The static-shape path of the CPU against plain generate, side by side: prints latencies and their ratio.

One after the other in turns, in one process: ``python benchmarks/static.py``. ``--shapes`` takes ``standin`` (of
BLOOMZ-7B) and ``560m`` (the published shape of BLOOMZ-560M, 1.1 GB in bfloat16).
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from typing import Any

from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.models import Scale

SHAPES: dict[str, tuple[str, Scale]] = {"standin": ("bloomz7b", "standin"), "560m": ("bloomz560m", "full")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="standin,560m")
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--caches", default="kvcache,nocache")
    arguments = parser.parse_args()
    print(f"{'shape':8} {'variant':8} {'generate':>10} {'static':>10} {'ratio':>6}  first static round  tokens")
    for name in arguments.shapes.split(","):
        model, scale = SHAPES[name]
        group = GroupSpec(engine="cpu", model=model, devices=1, scale=scale, dtype=arguments.dtype)
        for cache in arguments.caches.split(","):
            compare(name, group, cache, arguments.new_tokens, arguments.rounds)


def compare(name: str, group: GroupSpec, cache: str, new_tokens: int, rounds: int) -> None:
    engines = {graphs: ready(group, graphs, cache == "kvcache", new_tokens) for graphs in (False, True)}
    first, _ = timed(engines[True])
    timed(engines[False])
    seconds: dict[bool, list[float]] = {False: [], True: []}
    tokens: dict[bool, Any] = {}
    for _, graphs in itertools.product(range(rounds), (False, True)):
        taken, tokens[graphs] = timed(engines[graphs])
        seconds[graphs].append(taken)
    plain, static = (statistics.median(seconds[graphs]) for graphs in (False, True))
    pairs = enumerate(zip(*tokens.values(), strict=True))
    same = next((index for index, (one, other) in pairs if one != other), new_tokens)
    print(
        f"{name:8} {cache:8} {plain * 1e3:8.1f}ms {static * 1e3:8.1f}ms {plain / static:6.2f}  {first:16.1f} s  "
        f"{'all equal' if same == new_tokens else f'equal up to {same} of {new_tokens}'}",
        flush=True,
    )


def ready(group: GroupSpec, graphs: bool, kv_cache: bool, new_tokens: int) -> Any:
    engine = CpuAccelerator().engine()
    engine.load(group, lambda text: None)
    engine.prepare(Variant(graphs=graphs, kv_cache=kv_cache, new_tokens=new_tokens))
    return engine


def timed(engine: Any) -> tuple[float, list[int]]:
    prompt = engine.prompt().ids
    begin = time.perf_counter()
    tokens = engine.generate([prompt])[0]
    return time.perf_counter() - begin, tokens


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    main()
