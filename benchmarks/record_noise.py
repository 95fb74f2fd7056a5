"""Records the noise of this machine: the same code again and again, in fresh workers, with reference probes.

    python benchmarks/record_noise.py benchmarks/noise/idle.npz --runs 100
    python benchmarks/record_noise.py benchmarks/noise/loaded.npz --runs 100 --load 2
    python benchmarks/record_noise.py benchmarks/noise/idle_turns.npz --runs 100 --in-turns

A run is a fresh worker group, as in the suite. With ``--in-turns`` two workers live at the same time and their rounds
alternate (one, other, other, one), as side by side; every pair gives two runs. ``--load`` adds processes that compete
for the processor, in bursts whose lengths vary between 0.1 and 10 seconds.

The file holds rounds and probes (seconds, shape (runs, rounds)), the start of each run (seconds since the epoch), and a
description as JSON. ``benchmarks/detection.py`` replays it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.workspace import Workspace

Rounds = tuple[list[float], list[float]]


def compete(parent: int) -> None:
    """Bursts of work with pauses of the same kind, until the parent is gone."""
    dice = random.Random(os.getpid())
    while os.getppid() == parent:
        until = time.monotonic() + 10 ** dice.uniform(-1, 1)
        while time.monotonic() < until:
            sum(range(10_000))
        time.sleep(10 ** dice.uniform(-1, 1))


@contextlib.contextmanager
def competing(count: int) -> Iterator[None]:
    """So many competing processes."""
    command = [sys.executable, __file__, "--compete", str(os.getpid())]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def start(arguments: argparse.Namespace, directory: Path) -> WorkerGroup:
    """A worker that holds the model, warmed up."""
    accelerator = accelerator_named(arguments.accelerator)
    spec = protocol.GroupSpec(
        engine=accelerator.name,
        model=arguments.model,
        devices=1,
        scale=accelerator.default_scale,
        dtype="bfloat16",
    )
    group = WorkerGroup(spec, accelerator, directory, Deadlines())
    group.start()
    group.load()
    variant = protocol.Variant(graphs=arguments.graphs, kv_cache=True, new_tokens=arguments.new_tokens)
    group.ask(protocol.Prepare(variant=variant), protocol.Prepared, phase="prepare")
    group.ask(protocol.Rounds(count=arguments.warm_up), protocol.RoundsDone, phase="warm-up")
    return group


def ask(group: WorkerGroup, count: int) -> Rounds:
    """So many rounds, and their probes."""
    done = group.ask(protocol.Rounds(count=count), protocol.RoundsDone, phase="rounds")
    return done.latencies_s, done.probes_s or []


def one_run(arguments: argparse.Namespace, directory: Path) -> list[Rounds]:
    group = start(arguments, directory / "one")
    try:
        return [ask(group, arguments.rounds)]
    finally:
        group.close()


def pair_in_turns(arguments: argparse.Namespace, directory: Path) -> list[Rounds]:
    groups: list[WorkerGroup] = []
    taken: list[Rounds] = [([], []), ([], [])]
    try:
        for number in range(2):
            groups.append(start(arguments, directory / f"pair-{number}"))
        for turn in range(arguments.rounds):
            for number in (0, 1) if turn % 2 == 0 else (1, 0):
                rounds, probes = ask(groups[number], 1)
                taken[number][0].extend(rounds)
                taken[number][1].extend(probes)
        return taken
    finally:
        for group in groups:
            group.close()


def described(arguments: argparse.Namespace) -> str:
    return json.dumps(
        {
            "in_turns": arguments.in_turns,
            "load": arguments.load,
            "model": arguments.model,
            "graphs": arguments.graphs,
            "new_tokens": arguments.new_tokens,
            "accelerator": arguments.accelerator,
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "note": arguments.note,
        }
    )


def save(path: Path, runs: list[Rounds], starts: list[float], loads: list[float], description: str) -> None:
    """Write what there is, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.stem + ".part.npz")
    np.savez_compressed(
        part,
        rounds=np.array([rounds for rounds, _ in runs], dtype=np.float32),
        probes=np.array([probes for _, probes in runs], dtype=np.float32),
        starts=np.array(starts),
        load_averages=np.array(loads, dtype=np.float32),
        description=np.array(description),
    )
    os.replace(part, path)


def main() -> None:
    if sys.argv[1:2] == ["--compete"]:
        compete(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to write, for instance benchmarks/noise/idle.npz")
    parser.add_argument("--runs", type=int, default=100, help="runs, or pairs with --in-turns (default: 100)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each run (default: 20)")
    parser.add_argument("--warm-up", type=int, default=6, help="rounds before those that count (default: 6)")
    parser.add_argument("--new-tokens", type=int, default=20, help="new tokens of each round (default: 20)")
    parser.add_argument("--model", default="bloomz7b")
    parser.add_argument("--graphs", action="store_true", help="with graphs (default: eager)")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--in-turns", action="store_true", help="pairs of workers, rounds in turns")
    parser.add_argument("--load", type=int, default=0, help="processes that compete for the processor (default: 0)")
    parser.add_argument("--note", default="", help="what else went on, stored with the noise")
    arguments = parser.parse_args()
    workspace = Workspace()
    runs: list[Rounds] = []
    starts: list[float] = []
    loads: list[float] = []
    measure = pair_in_turns if arguments.in_turns else one_run
    try:
        with competing(arguments.load):
            for number in range(arguments.runs):
                begin, load = time.time(), psutil.getloadavg()[0]
                taken = measure(arguments, workspace.path / str(number))
                runs += taken
                starts += [begin] * len(taken)
                loads += [load] * len(taken)
                save(arguments.file, runs, starts, loads, described(arguments))
                medians = ", ".join(f"{np.median(rounds) * 1e3:.1f} ms" for rounds, _ in taken)
                print(f"{number + 1}/{arguments.runs}: {medians}, {time.time() - begin:.1f} s", flush=True)
    finally:
        workspace.close()


if __name__ == "__main__":
    main()
