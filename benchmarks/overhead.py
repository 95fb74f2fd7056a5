"""What measuring costs: the same generation bare and through the suite, alternating in one worker.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --batch-size 4 --prompt-tokens 1024 --new-tokens 16

prints the ratio of the medians (through the suite to bare), and the round trip of an empty request.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.vocabulary.workload import NEW_TOKENS, PROMPT_TOKENS
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.workspace import Workspace
from gaudi_perf.workers.rank.worker import Worker
from gaudi_perf.workers.rank.worker import main as worker_main


class BareWorker(Worker):
    """A worker that answers requests for token times with a bare loop around the engine's generation."""

    def _token_rounds(self, engine, count):  # type: ignore[no-untyped-def]
        latencies = []
        for _ in range(count):
            begin = time.perf_counter()
            engine.generate(self.prompts)
            latencies.append(time.perf_counter() - begin)
        return protocol.TokenRoundsDone(first_token_s=latencies, per_output_token_s=[])


def measure(group: WorkerGroup, variant: protocol.Variant, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of bare rounds and of rounds through the suite, taken in turns (bare, suite, suite, bare, ...)."""
    group.ask(protocol.Prepare(variant=variant), protocol.Prepared, phase="prepare")
    group.ask(protocol.Rounds(count=5), protocol.RoundsDone, phase="warm-up")
    bare: list[float] = []
    suite: list[float] = []
    for pair in range(pairs):
        for side in ("bare", "suite") if pair % 2 == 0 else ("suite", "bare"):
            if side == "bare":
                bare_done = group.ask(protocol.TokenRounds(count=1), protocol.TokenRoundsDone, phase="bare")
                bare += bare_done.first_token_s
            else:
                done = group.ask(protocol.Rounds(count=1), protocol.RoundsDone, phase="suite")
                suite += done.latencies_s
    return bare, suite


def round_trips(group: WorkerGroup, count: int) -> list[float]:
    """Seconds of ``count`` empty requests, in ascending order."""
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        group.ask(protocol.Ping(), protocol.Pong, phase="ping")
        seconds.append(time.perf_counter() - begin)
    return sorted(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=60, help="bare and suite rounds per variant (default: 60)")
    parser.add_argument("--model", default="bloomz7b", help="model, at stand-in scale (default: bloomz7b)")
    for name, default in (("batch_size", 1), ("prompt_tokens", PROMPT_TOKENS), ("new_tokens", NEW_TOKENS)):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"(default: {default})")
    arguments = parser.parse_args()
    workload = {name: getattr(arguments, name) for name in ("batch_size", "prompt_tokens", "new_tokens")}
    accelerator = accelerator_named("cpu")
    spec = protocol.GroupSpec(engine="cpu", model=arguments.model, devices=1, scale="standin", dtype="bfloat16")
    workspace = Workspace()
    launch = Launch(program=(sys.executable, __file__))
    group = WorkerGroup(spec, accelerator, workspace.path / "group", Deadlines(), launch=launch)
    try:
        group.start()
        group.load()
        trips = round_trips(group, 2000)
        print(f"round trip of a request: median {trips[1000] * 1e3:.3f} ms, p99 {trips[1980] * 1e3:.3f} ms")
        for graphs in (False, True):
            variant = protocol.Variant(graphs=graphs, kv_cache=True, **workload)
            bare, suite = measure(group, variant, arguments.pairs)
            ratio = statistics.median(suite) / statistics.median(bare)
            paired = statistics.median(one / other for one, other in zip(suite, bare, strict=True))
            name = "graphs" if graphs else "eager"
            print(
                f"{arguments.model}-1x-{name}-kvcache: bare {statistics.median(bare) * 1e3:.2f} ms, "
                f"suite {statistics.median(suite) * 1e3:.2f} ms, ratio of medians {ratio:.4f}, "
                f"median of paired ratios {paired:.4f}"
            )
    finally:
        group.close()
        workspace.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["-m"]:  # started instead of the worker's module
        del sys.argv[1:3]
        worker_main(BareWorker)
    else:
        main()
