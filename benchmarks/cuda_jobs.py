"""What one process of ``benchmarks/cuda.py`` measures; every variant is written down as soon as it is measured."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.plan import Deadlines

Job = dict[str, Any]

WARM_UP = 3
"""Rounds before those that count: the prompt's step is captured in the third."""


def run_job(job: Job, file: Path) -> None:
    """Load, and measure every variant; one that fails records why, and the others are measured all the same.

    Args:
        job: what to measure.
        file: where the job goes with what was measured so far.
    """
    kept = {**job, "results": {}}

    def keep(**more: Any) -> None:
        kept.update(more)
        write(file, kept)

    group = GroupOfJob(job, file.parent, keep)
    measure = group.measure if job["devices"] > 1 else of_engine(job, keep)
    try:
        for name in job["variants"]:
            said(name)
            try:
                kept["results"][name] = measure(name)
            except Exception as error:  # another variant may work
                text = (str(error).strip().splitlines() or [""])[0]
                kept["results"][name] = {"failed": f"{type(error).__name__}: {text[:300]}"}
            keep()
    finally:
        group.close()


def write(file: Path, what: Any) -> None:
    """All of it or nothing."""
    beside = file.with_name(f"{file.name}.new")
    beside.write_text(json.dumps(what, indent=1))
    os.replace(beside, file)


def spec_of(job: Job) -> GroupSpec:
    return GroupSpec(
        engine=job["engine"], model=job["model"], devices=job["devices"], scale=job["scale"], dtype=job["dtype"]
    )


def variant_of(name: str, job: Job) -> Variant:
    return Variant(graphs="graphs" in name, kv_cache="nocache" not in name, new_tokens=job["new_tokens"])


def said(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- one GPU, held by this process


def of_engine(job: Job, keep: Callable[..., None]) -> Callable[[str], dict[str, Any]]:
    engine = accelerator_named(job["engine"]).engine()
    begin = time.perf_counter()
    engine.load(spec_of(job), said)
    engine.synchronize()
    loaded = time.perf_counter() - begin
    prompt = engine.prompt().ids
    device, stack = engine.device(), engine.stack()
    keep(
        load_s=loaded,
        bandwidth=engine.memory_bandwidth(),
        device=device.name,
        stack=stack.name,
        components=dict(stack.components),
        settings=dict(stack.settings),
    )
    return lambda name: measured(engine, name, prompt, job)


def measured(engine: Any, name: str, prompt: list[int], job: Job) -> dict[str, Any]:
    timed = with_events if job["engine"] == "cuda" else by_host
    engine.prepare(variant_of(name, job))
    begin = time.perf_counter()
    for _ in range(WARM_UP):
        engine.generate([prompt])
    warm_up = time.perf_counter() - begin
    engine.reset_peak_memory()
    engine.begin_rounds()
    rounds = [timed(engine, prompt) for _ in range(job["rounds"])]
    cost = engine.graph_compilation()
    problems = engine.problems()
    first: list[float] = []
    begin = time.perf_counter()
    engine.generate([prompt], lambda: first.append(time.perf_counter() - begin))
    return {
        "host_s": [host for host, _, _ in rounds],
        "device_s": [device for _, device, _ in rounds],
        "tokens": rounds[-1][2],
        "same_tokens": all(tokens == rounds[-1][2] for _, _, tokens in rounds),
        "first_token_s": first[0],
        "following_token_s": (first[-1] - first[0]) / max(1, len(first) - 1),
        "warm_up_s": warm_up,
        "graphs": None if cost is None else {"count": cost.count, "seconds": cost.seconds},
        "peak_memory_bytes": engine.peak_memory_bytes(),
        "problems": problems,
    }


def by_host(engine: Any, prompt: list[int]) -> tuple[float, float | None, list[int]]:
    engine.synchronize()
    begin = time.perf_counter()
    tokens = engine.generate([prompt])[0]
    engine.synchronize()
    return time.perf_counter() - begin, None, tokens


def with_events(engine: Any, prompt: list[int]) -> tuple[float, float | None, list[int]]:
    import torch

    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    engine.synchronize()
    begin = time.perf_counter()
    first.record()
    tokens = engine.generate([prompt])[0]
    last.record()
    engine.synchronize()
    return time.perf_counter() - begin, first.elapsed_time(last) / 1e3, tokens


# ---- several GPUs, a process each


class GroupOfJob:
    """The group that all variants of a job are measured in; after a failure the next variant has a new one."""

    def __init__(self, job: Job, directory: Path, keep: Callable[..., None]) -> None:
        self._job, self._directory, self._keep = job, directory, keep
        self._group: WorkerGroup | None = None
        self._begun = 0

    def measure(self, name: str) -> dict[str, Any]:
        """One variant."""
        try:
            self._group = self._group or self._started()
            return measured_by(self._group, name, self._job)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the group."""
        if self._group is not None:
            self._group.close()
        self._group = None

    def _started(self) -> WorkerGroup:
        job, self._begun = self._job, self._begun + 1
        accelerator = accelerator_named(job["engine"], processes=job["devices"])
        deadlines = Deadlines(start=job["limit"], load=job["limit"], round=job["limit"])
        directory = self._directory / f"group-{self._begun}"
        self._group = group = WorkerGroup(spec_of(job), accelerator, directory, deadlines, said)
        group.start()
        loaded = group.load()
        self._keep(
            load_s=sum(group.phases_s[phase] for phase in ("start", "load")),
            bandwidth=loaded.memory_bandwidth,
            device=loaded.device.name,
            stack=loaded.stack.name,
            components=dict(loaded.stack.components),
            settings=dict(loaded.stack.settings),
        )
        return group


def measured_by(group: WorkerGroup, name: str, job: Job) -> dict[str, Any]:
    group.ask(protocol.Prepare(variant=variant_of(name, job)), protocol.Prepared, phase="prepare")
    warm_up = group.ask(protocol.Rounds(count=WARM_UP), protocol.RoundsDone, phase="warm-up")
    done = group.ask(protocol.Rounds(count=job["rounds"]), protocol.RoundsDone, phase="rounds")
    times = group.ask(protocol.TokenRounds(count=1), protocol.TokenRoundsDone, phase="token times")
    cost = done.graph_compilation
    return {
        "host_s": done.latencies_s,
        "device_s": [None] * len(done.latencies_s),
        "tokens": done.token_ids,
        "same_tokens": done.same_tokens,
        "first_token_s": times.first_token_s[0],
        "following_token_s": (times.per_output_token_s or [0.0])[0],
        "warm_up_s": sum(warm_up.latencies_s),
        "graphs": None if cost is None else {"count": cost.count, "seconds": cost.seconds},
        "peak_memory_bytes": done.peak_memory_bytes,
        "problems": done.problems,
    }
