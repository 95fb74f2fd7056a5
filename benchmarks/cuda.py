"""What is claimed of the CUDA engine, measured on this machine's GPU in one command: ``python benchmarks/cuda.py``.

BLOOMZ-7B with dummy weights, made on the GPU, 100 new tokens: eager and graphs, with and without the KV cache; every
step that graphs can be made of; latencies by the host's clock and by CUDA events; how near the limit of the memory's
measured bandwidth; how far tokens agree; the spread between runs in fresh processes. Each job is a process of its own,
so that a step that fails leaves the others standing. Without a GPU, ``--engine cpu --model bloomz560m --scale standin``
rehearses it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaudi_perf.runtime.engines import accelerator_named
from gaudi_perf.runtime.engines.cuda import DEFAULT_STEP, STEP, STEPS
from gaudi_perf.runtime.protocol import GroupSpec, Variant
from gaudi_perf.statistics.roofline import generation_bytes
from gaudi_perf.vocabulary.models import model_named
from gaudi_perf.vocabulary.workload import Workload

ALL = ("eager-kvcache", "eager-nocache", "graphs-kvcache", "graphs-nocache")
FASTER, OF_LIMIT = 3.0, 0.85
"""What graphs with the KV cache are to reach: times as fast as eager; share of the memory's limit."""
SHORTEST_S = 30.0
"""A job of less is not begun."""
WARM_UP = 3
"""Rounds before those that count: the prompt's step is captured in the third."""

Job = dict[str, Any]


def main() -> None:
    arguments = parsed()
    if arguments.job:
        print(json.dumps(run_job(json.loads(arguments.job))))
        return
    accelerator = accelerator_named(arguments.engine)
    if accelerator.find() is None:
        sys.exit(accelerator.none_found)
    started, jobs = time.monotonic(), []
    base = {name: getattr(arguments, name) for name in ("engine", "model", "scale", "dtype", "new_tokens", "rounds")}

    def left() -> float:
        return float(arguments.budget - (time.monotonic() - started))

    def do(what: str, **changes: Any) -> None:
        asked = {**base, "step": DEFAULT_STEP, "variants": ALL, **changes, "what": what}
        if left() < SHORTEST_S:
            jobs.append({**asked, "failed": "left out, for lack of time: see --budget"})
            return
        job = done(asked, min(arguments.limit, left()))
        jobs.append(job)
        arguments.json.write_text(json.dumps({"jobs": jobs}, indent=1))
        print(f"{what}: {job.get('failed') or 'done'}; {left():.0f} s of {arguments.budget:.0f} s left", flush=True)

    do("run 1")
    for step in STEPS if arguments.engine == "cuda" else ():
        if step != DEFAULT_STEP:
            do(f"step {step}", step=step, variants=["graphs-kvcache"])
    best = fastest_step(jobs)
    for run in range(2, arguments.runs + 1):
        do(f"run {run}", step=best, variants=["eager-kvcache", "graphs-kvcache"])
    do("tokens in float32", model=arguments.small, dtype="float32", step=best, rounds=1)
    print(report(jobs, best))
    print(f"written: {arguments.json}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--model", default="bloomz7b")
    parser.add_argument("--small", default="bloomz560m", help="the model whose tokens are compared in float32")
    parser.add_argument("--scale", default="full", choices=["full", "standin"])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7, help="that count, of every variant")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes of eager and graphs with the cache")
    parser.add_argument("--limit", type=float, default=420.0, help="seconds that a job may take")
    parser.add_argument("--budget", type=float, default=1500.0, help="seconds that all jobs may take")
    parser.add_argument("--json", type=Path, default=Path("cuda-benchmark.json"), help="where all numbers go")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def done(job: Job, limit: float) -> Job:
    """The job with its results, or with why it failed."""
    accelerator = accelerator_named(job["engine"])
    with tempfile.TemporaryDirectory() as directory:
        added = {**accelerator.environment(group_of(job), Path(directory)), STEP: job["step"]}
        command = [sys.executable, __file__, "--job", json.dumps(job)]
        with (Path(directory) / "log").open("w+") as log:
            try:
                ended = subprocess.run(
                    command, env={**os.environ, **added}, stdout=subprocess.PIPE, stderr=log, text=True, timeout=limit
                )
            except subprocess.TimeoutExpired:
                return {**job, "failed": f"not done after {limit:.0f} s"}
            log.seek(0)
            last = (log.read().strip().splitlines() or [""])[-1]
    if ended.returncode:
        return {**job, "failed": f"exit status {ended.returncode}: {last[:300]}"}
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def group_of(job: Job) -> GroupSpec:
    return GroupSpec(engine=job["engine"], model=job["model"], devices=1, scale=job["scale"], dtype=job["dtype"])


def run_job(job: Job) -> Job:
    """Load, and measure every variant; a variant that fails tells why."""
    engine = accelerator_named(job["engine"]).engine()
    begin = time.perf_counter()
    engine.load(group_of(job), lambda text: print(text, file=sys.stderr, flush=True))
    engine.synchronize()
    loaded = time.perf_counter() - begin
    prompt = engine.prompt().ids
    device, stack = engine.device(), engine.stack()
    results = {}
    bandwidth = engine.memory_bandwidth()
    for name in job["variants"]:
        print(name, file=sys.stderr, flush=True)
        try:
            results[name] = measured(engine, name, prompt, job)
        except Exception as error:  # another variant may work
            results[name] = {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"}
    return {
        **job,
        "load_s": loaded,
        "bandwidth": bandwidth,
        "device": device.name,
        "stack": stack.name,
        "components": stack.components,
        "settings": stack.settings,
        "results": results,
    }


def measured(engine: Any, name: str, prompt: list[int], job: Job) -> dict[str, Any]:
    variant = Variant(graphs="graphs" in name, kv_cache="nocache" not in name, new_tokens=job["new_tokens"])
    timed = with_events if job["engine"] == "cuda" else by_host
    engine.prepare(variant)
    begin = time.perf_counter()
    for _ in range(WARM_UP):
        engine.generate(prompt)
    warm_up = time.perf_counter() - begin
    engine.reset_peak_memory()
    engine.begin_rounds()
    rounds = [timed(engine, prompt) for _ in range(job["rounds"])]
    cost = engine.graph_compilation()
    problems = engine.problems()
    first: list[float] = []
    begin = time.perf_counter()
    engine.generate(prompt, lambda: first.append(time.perf_counter() - begin))
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
    tokens = engine.generate(prompt)
    engine.synchronize()
    return time.perf_counter() - begin, None, tokens


def with_events(engine: Any, prompt: list[int]) -> tuple[float, float | None, list[int]]:
    import torch

    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    engine.synchronize()
    begin = time.perf_counter()
    first.record()
    tokens = engine.generate(prompt)
    last.record()
    engine.synchronize()
    return time.perf_counter() - begin, first.elapsed_time(last) / 1e3, tokens


# ---- what is printed


def rows(jobs: list[Job]) -> list[tuple[Job, str, dict[str, Any]]]:
    return [(job, name, result) for job in jobs for name, result in job.get("results", {}).items()]


def latency(jobs: list[Job], name: str, keep: Callable[[Job], bool]) -> list[float]:
    """The median latency of every such job."""
    return [
        statistics.median(result["host_s"])
        for job, variant, result in rows(jobs)
        if variant == name and keep(job) and "failed" not in result
    ]


def fastest_step(jobs: list[Job]) -> str:
    """Of the steps, the one whose graphs with the KV cache are the fastest."""
    found = {step: latency(jobs, "graphs-kvcache", lambda job, step=step: job["step"] == step) for step in STEPS}
    known = {step: min(values) for step, values in found.items() if values}
    return min(known, key=lambda step: known[step]) if known else DEFAULT_STEP


def report(jobs: list[Job], best: str) -> str:
    told = next((job for job in jobs if "device" in job), None)
    if told is None:
        return "nothing could be measured: " + "; ".join(job["failed"] for job in jobs)
    measured_there = [job["bandwidth"] for job in jobs if job.get("bandwidth")]
    bandwidth = max(measured_there)
    shape = model_named(told["model"]).shape_at(told["scale"])
    lines = [
        "",
        f"{told['device']} ({told['components'].get('gpu', 'this host')}), {told['stack']}, "
        f"PyTorch {told['components'].get('pytorch', '')}, transformers {told['components']['transformers']}, "
        f"driver {told['components'].get('driver', '-')}",
        f"settings: {', '.join(f'{name}={value}' for name, value in told['settings'].items())}",
        f"memory bandwidth: {bandwidth / 1e12:.3f} TB/s, the most of {len(measured_there)} processes",
        f"{told['model']} {told['scale']}, {told['dtype']}, {told['new_tokens']} new tokens, "
        f"{told['rounds']} rounds after {WARM_UP}, loaded in {told['load_s']:.1f} s",
        "",
        f"{'job':18} {'variant':15} {'step':22} {'median':>9} {'spread':>7} {'events':>9} {'1st token':>9} "
        f"{'per token':>9} {'of limit':>8}  tokens",
    ]
    reference = next((result["tokens"] for _, name, result in rows(jobs) if name == ALL[0] and "tokens" in result), [])
    for job, name, result in rows(jobs):
        step = job["step"] if "graphs" in name else "-"
        head = f"{job['what']:18} {name:15} {step:22}"
        if "failed" in result:
            lines.append(f"{head} failed: {result['failed']}")
            continue
        workload = Workload(new_tokens=job["new_tokens"], dtype=job["dtype"])
        own = model_named(job["model"]).shape_at(job["scale"])
        limit = generation_bytes(own, workload, "nocache" not in name) / bandwidth
        median = statistics.median(result["host_s"])
        spread = (max(result["host_s"]) - min(result["host_s"])) / median
        events = [value for value in result["device_s"] if value is not None]
        shown = f"{statistics.median(events) * 1e3:7.2f}ms" if events else "-"
        against = reference if job["dtype"] == told["dtype"] else job["results"].get(ALL[0], {}).get("tokens", [])
        lines.append(
            f"{head} {median * 1e3:7.2f}ms {spread * 100:6.2f}% {shown:>9} {result['first_token_s'] * 1e3:7.2f}ms "
            f"{result['following_token_s'] * 1e3:7.3f}ms {limit / median * 100:7.1f}%  {agreement(against, result)}"
        )
        lines += [f"{'':18} problem: {problem}" for problem in result["problems"]]
    lines += [f"{job['what']:18} failed: {job['failed']}" for job in jobs if "failed" in job]
    return "\n".join([*lines, "", *claims(jobs, best, shape, bandwidth)])


def agreement(reference: list[int], result: dict[str, Any]) -> str:
    """How far the tokens are those of eager generation with the cache."""
    tokens = result["tokens"]
    same = next((i for i, pair in enumerate(zip(reference, tokens, strict=False)) if pair[0] != pair[1]), len(tokens))
    text = "all equal" if tokens == reference else f"equal up to {same} of {len(tokens)}"
    return text if result["same_tokens"] else f"{text}; ROUNDS DIFFER"


def claims(jobs: list[Job], best: str, shape: Any, bandwidth: float) -> list[str]:
    """What is asked of graphs with the KV cache, and whether it was seen."""
    first = jobs[0]
    here = lambda job: job["dtype"] == first["dtype"] and job["model"] == first["model"]  # noqa: E731
    eager = latency(jobs, "eager-kvcache", here)
    graphs = latency(jobs, "graphs-kvcache", lambda job: here(job) and job["step"] == best)
    if not eager or not graphs:
        return ["eager or graphs with the cache could not be measured"]
    limit = generation_bytes(shape, Workload(new_tokens=first["new_tokens"], dtype=first["dtype"]), True) / bandwidth
    faster, share = statistics.median(eager) / statistics.median(graphs), limit / statistics.median(graphs)
    lines = [
        f"the fastest step is {best}" + ("" if best == DEFAULT_STEP else f": {STEP}={best}, or make it the default"),
        f"graphs-kvcache is {faster:.2f} times as fast as eager-kvcache (asked: {FASTER:g}): {yes(faster >= FASTER)}",
        f"graphs-kvcache is at {share * 100:.1f} % of the memory's limit of {limit * 1e3:.1f} ms "
        f"(asked: {OF_LIMIT * 100:g} %): {yes(share >= OF_LIMIT)}",
    ]
    for name, medians in (("eager-kvcache", eager), ("graphs-kvcache", graphs)):
        spread = (max(medians) - min(medians)) / statistics.median(medians)
        lines.append(f"{name}: medians of {len(medians)} runs differ by {spread * 100:.2f} % at most")
    pairs = [pair for _, _, r in rows(jobs) if "host_s" in r for pair in zip(r["host_s"], r["device_s"], strict=True)]
    apart = [(host - device) / device for host, device in pairs if device is not None]
    if apart:
        lines.append(f"host clock over CUDA events, {len(apart)} rounds: {min(apart):+.3%} to {max(apart):+.3%}")
    return lines


def yes(true: bool) -> str:
    return "yes" if true else "NO"


if __name__ == "__main__":
    main()
