"""Round trip of a request, and the parts of the start, of groups of 1, 2 and 8 ranks.

python benchmarks/group.py [--ranks 1,2,8] [--trips 200]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.plan import Deadlines

PARTS = ("launch", "interpreter", "imports", "communication")


def measure(ranks: int, trips: int, directory: Path) -> None:
    spec = GroupSpec(engine="cpu", model="bloomz7b", devices=ranks, scale="standin", dtype="float32")
    group = WorkerGroup(spec, accelerator_named("cpu", processes=ranks), directory, Deadlines())
    begin = time.perf_counter()
    try:
        group.start()
        group.load()
        whole = time.perf_counter() - begin
        seconds = []
        for _ in range(trips):
            before = time.perf_counter()
            group.ask(protocol.Ping(), protocol.Pong, phase="ping")
            seconds.append(time.perf_counter() - before)
    finally:
        group.close()
    parts = {name: group.phases_s.get(f"start: {name}", 0.0) for name in PARTS}
    parts["load"] = whole - sum(parts.values())
    each = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    trip = f"{statistics.median(seconds) * 1000:.2f} ms (95 %: {sorted(seconds)[int(trips * 0.95)] * 1000:.2f} ms)"
    print(f"{ranks} ranks: round trip {trip}; start {whole:.1f} s: {each if ranks > 1 else 'one process'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", default="1,2,8", help="how many ranks, with commas")
    parser.add_argument("--trips", type=int, default=200, help="round trips that are timed")
    arguments = parser.parse_args()
    for ranks in arguments.ranks.split(","):
        with tempfile.TemporaryDirectory() as directory:
            measure(int(ranks), arguments.trips, Path(directory) / "group")


if __name__ == "__main__":
    main()
