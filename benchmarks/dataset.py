"""How much slower a dataset is completed than by a bare loop over the same batches, side by side in one run.

    python benchmarks/dataset.py [--prompts 2000]

Both complete the same padded batches with the same model (a stand-in, on one thread). The suite's way has a worker
process, its protocol, tokens turned to text, and every batch written to disk; the bare loop has none of that. They take
turns, chunk by chunk, first one and then the other, so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.protocol import Weights
from gaudi_perf.stores.completions import CompletionsFile, read_completions
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller import completing
from gaudi_perf.workers.controller.measuring import Measurer
from gaudi_perf.workers.controller.plan import Deadlines, MeasurementPlan

BATCH, PROMPT, NEW, CHUNK = 8, 16, 50, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2000)
    count = parser.parse_args().prompts
    configuration = Configuration(model="bloomz7b", devices=1, graphs=False, kv_cache=True)
    workload = Workload(prompt_tokens=PROMPT, new_tokens=NEW, batch_size=BATCH)
    case = Case(configuration=configuration, accelerator="cpu", workload=workload, scale="standin")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source = place / "prompts.txt"
        source.write_text("".join(f"prompt {n} with {'some ' * (n % 17)}words to go on from\n" for n in range(count)))
        bare = _bare(source, case, count)
        next(bare)  # loads and warms up
        bare_s: list[float] = []
        suite_s: list[float] = []
        marks: list[float] = []

        def progress(done: int, total: int) -> None:
            now = time.perf_counter()
            if done == 0:
                marks.append(now)
            elif done % CHUNK == 0 or done == total:
                suite_s.append(now - marks[-1])
                bare_s.append(next(bare))
                marks.append(time.perf_counter())

        measurer = Measurer(
            accelerator_named("cpu"), Weights(), MeasurementPlan(), Deadlines(), place / "groups", "benchmark"
        )
        first = completing._batches

        def batches(*arguments: object) -> Iterator[object]:
            marks.append(time.perf_counter())  # warm-up is over
            yield from first(*arguments)  # type: ignore[arg-type]

        completing._batches = batches  # type: ignore[assignment]
        with measurer, CompletionsFile(place / "out.jsonl") as file:
            completing.complete(measurer, case, Dataset(source=str(source)), file, progress=progress)
        _, kept = read_completions(place / "out.jsonl")
        prompts = sum(len(batch.inputs) for batch in kept)
    ratios = [one / other for one, other in zip(suite_s, bare_s, strict=True)]
    print(f"{prompts} prompts in batches of {BATCH}, {PROMPT} + {NEW} tokens, {len(ratios)} turns of {CHUNK} batches")
    print(f"suite {sum(suite_s):.1f} s, bare loop {sum(bare_s):.1f} s")
    print(f"ratio of sums {sum(suite_s) / sum(bare_s):.4f}, median ratio of turns {statistics.median(ratios):.4f}")


def _bare(source: Path, case: Case, count: int) -> Iterator[float]:
    """Seconds of each chunk of the same batches, without worker, protocol, text or file."""
    import torch

    from gaudi_perf.accelerators.torch_engine import padded
    from gaudi_perf.generation.dataset import PromptSource
    from gaudi_perf.generation.dummy import dummy_model
    from gaudi_perf.generation.plain import PlainGeneration
    from gaudi_perf.protocol import GroupSpec

    torch.set_num_threads(1)
    model = dummy_model(shipped_model(case.configuration.model).standin, case.workload.dtype)
    group = GroupSpec(engine="cpu", model="bloomz7b", devices=1, scale="standin", dtype=case.workload.dtype)
    ids, _ = PromptSource(Dataset(source=str(source)), PROMPT, group).prompts(0, count)
    generation = PlainGeneration(model, NEW, kv_cache=True)
    batches = [padded(ids[at : at + BATCH], BATCH, PROMPT, 3, "cpu") for at in range(0, count, BATCH)]
    for _ in range(3):
        generation(batches[0][0], mask=batches[0][1])
    gc.collect()
    gc.freeze()  # as the worker does
    yield 0.0
    for at in range(0, len(batches), CHUNK):
        begin = time.perf_counter()
        for prompt, mask in batches[at : at + CHUNK]:
            generation(prompt, mask=mask).tolist()
        yield time.perf_counter() - begin


if __name__ == "__main__":
    main()
