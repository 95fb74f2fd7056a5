"""What ``benchmarks/cuda.py`` prints: every measurement, and for each thing that is asked whether it was seen."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from cuda_jobs import WARM_UP, Job

from gaudi_perf.accelerators.cuda.steps import DEFAULT_STEP, STEP, STEPS
from gaudi_perf.statistics.roofline import generation_bytes
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.workload import Workload

ALL = ("eager-kvcache", "graphs-kvcache", "eager-nocache", "graphs-nocache")
FASTER, OF_LIMIT = 3.0, 0.85
"""What graphs with the KV cache are to reach: times as fast as eager; share of the memory's limit."""
CLOCKS_APART = 0.02
"""How far host clock and CUDA events may be apart, as a share."""
MET, NOT_MET, UNKNOWN = "met", "NOT MET", "not measured"

Bar = tuple[str, str, str]
"""What is asked, whether it was seen, and the numbers."""


def rows(jobs: list[Job]) -> list[tuple[Job, str, dict[str, Any]]]:
    return [(job, name, result) for job in jobs for name, result in job.get("results", {}).items()]


def medians(jobs: list[Job], name: str, keep: Callable[[Job], bool]) -> list[float]:
    """The median latency of every such job."""
    return [
        statistics.median(result["host_s"])
        for job, variant, result in rows(jobs)
        if variant == name and keep(job) and "failed" not in result
    ]


def fastest_step(jobs: list[Job]) -> str:
    """Of the steps, the one whose graphs with the KV cache are the fastest on one GPU."""
    found = {
        step: medians(jobs, "graphs-kvcache", lambda job, step=step: job["step"] == step and job["devices"] == 1)  # type: ignore[misc]
        for step in STEPS
    }
    known = {step: min(values) for step, values in found.items() if values}
    return min(known, key=lambda step: known[step]) if known else DEFAULT_STEP


def report(jobs: list[Job], best: str, suite: dict[str, Any]) -> str:
    first = next((job for job in jobs if "device" in job), None)
    if first is None:
        return "nothing could be measured: " + "; ".join(job.get("failed", "no device") for job in jobs)
    bandwidths = [job["bandwidth"] for job in jobs if job.get("bandwidth") and job["devices"] == 1]
    bandwidth = max(bandwidths, default=None)
    components = first["components"]
    lines = [
        "",
        f"{first['device']} ({components.get('gpu', 'this host')}), {first['stack']}, "
        f"PyTorch {components.get('pytorch', '')}, transformers {components['transformers']}, "
        f"driver {components.get('driver', '-')}",
        f"settings: {', '.join(f'{name}={value}' for name, value in first['settings'].items())}",
        "memory bandwidth: not measured"
        if bandwidth is None
        else f"memory bandwidth: {bandwidth / 1e12:.3f} TB/s, the most of {len(bandwidths)} processes",
        f"{first['model']} {first['scale']}, {first['dtype']}, {first['new_tokens']} new tokens, "
        f"{first['rounds']} rounds after {WARM_UP}, loaded in {first['load_s']:.1f} s",
        "",
        f"{'job':20} {'variant':15} {'step':22} {'median':>9} {'spread':>7} {'events':>9} {'1st token':>9} "
        f"{'per token':>9} {'of limit':>8}  tokens",
    ]
    reference = tokens_of(jobs, ALL[0])
    for job, name, result in rows(jobs):
        step = job["step"] if "graphs" in name else "-"
        head = f"{job['what']:20} {name:15} {step:22}"
        if "failed" in result:
            lines.append(f"{head} failed: {result['failed']}")
            continue
        median = statistics.median(result["host_s"])
        spread = (max(result["host_s"]) - min(result["host_s"])) / median
        events = [value for value in result["device_s"] if value is not None]
        shown = f"{statistics.median(events) * 1e3:7.2f}ms" if events else "-"
        share = "-" if bandwidth is None else f"{limit_of(job, name, bandwidth) / median * 100:.1f}%"
        against = reference if job["dtype"] == first["dtype"] else tokens_of([job], ALL[0])
        lines.append(
            f"{head} {median * 1e3:7.2f}ms {spread * 100:6.2f}% {shown:>9} {result['first_token_s'] * 1e3:7.2f}ms "
            f"{result['following_token_s'] * 1e3:7.3f}ms {share:>8}  {agreement(against, result)}"
        )
        lines += [f"{'':20} problem: {problem}" for problem in result["problems"]]
    lines += [f"{job['what']:20} failed: {job['failed']}" for job in jobs if "failed" in job]
    if best != DEFAULT_STEP:
        lines += ["", f"the fastest step is {best}: {STEP}={best}, or make it the default"]
    bars = bars_of(jobs, best, bandwidth, suite)
    width = max(len(bar[0]) for bar in bars)
    return "\n".join([*lines, "", *(f"{asked:{width}}  {seen:12}  {numbers}" for asked, seen, numbers in bars)])


def limit_of(job: Job, name: str, bandwidth: float) -> float:
    """The memory's limit, in seconds."""
    workload = Workload(new_tokens=job["new_tokens"], dtype=job["dtype"])
    shape = shipped_model(job["model"]).at(job["scale"])
    return float(generation_bytes(shape, workload, "nocache" not in name) / (bandwidth * job["devices"]))


def tokens_of(jobs: list[Job], name: str) -> list[int]:
    return next((result["tokens"] for _, found, result in rows(jobs) if found == name and "tokens" in result), [])


def agreement(reference: list[int], result: dict[str, Any]) -> str:
    """How far the tokens are those of eager generation with the cache."""
    tokens = result["tokens"]
    same = next((i for i, pair in enumerate(zip(reference, tokens, strict=False)) if pair[0] != pair[1]), len(tokens))
    text = "all equal" if tokens == reference else f"equal up to {same} of {len(tokens)}"
    return text if result["same_tokens"] else f"{text}; ROUNDS DIFFER"


# ---- what is asked


def bars_of(jobs: list[Job], best: str, bandwidth: float | None, suite: dict[str, Any]) -> list[Bar]:
    """Everything that is asked of CUDA on a GPU, and whether it was seen."""
    first = jobs[0]
    here: Callable[[Job], bool] = lambda job: job["dtype"] == first["dtype"] and job["devices"] == 1  # noqa: E731
    eager = medians(jobs, "eager-kvcache", here)
    graphs = medians(jobs, "graphs-kvcache", lambda job: here(job) and job["step"] == best)
    bars = [speed(eager, graphs), share(first, graphs, bandwidth), whole(jobs)]
    bars += [same_tokens(jobs), how_far(jobs, first), rounds_are_valid(jobs), clocks(jobs)]
    bars += [spread(name, values) for name, values in (("eager-kvcache", eager), ("graphs-kvcache", graphs))]
    return [*bars, *of_group(jobs), *of_suite(suite)]


def bar(asked: str, true: bool, numbers: str) -> Bar:
    return asked, MET if true else NOT_MET, numbers


def speed(eager: list[float], graphs: list[float]) -> Bar:
    asked = f"graphs-kvcache at least {FASTER:g} times as fast as eager-kvcache"
    if not eager or not graphs:
        return asked, UNKNOWN, "one of them is missing"
    faster = statistics.median(eager) / statistics.median(graphs)
    return bar(asked, faster >= FASTER, f"{faster:.2f} times")


def share(first: Job, graphs: list[float], bandwidth: float | None) -> Bar:
    asked = f"graphs-kvcache at {OF_LIMIT * 100:g} % of the memory's limit or more"
    if not graphs or bandwidth is None:
        return asked, UNKNOWN, "latency or bandwidth is missing"
    limit = limit_of({**first, "devices": 1}, "graphs-kvcache", bandwidth)
    reached = limit / statistics.median(graphs)
    return bar(asked, reached >= OF_LIMIT, f"{reached * 100:.1f} % of the limit of {limit * 1e3:.1f} ms")


def same_tokens(jobs: list[Job]) -> Bar:
    asked = "the four variants give the same tokens in float32"
    found = [result for job, _, result in rows(jobs) if job["dtype"] == "float32" and job["devices"] == 1]
    tokens = [result["tokens"] for result in found if "tokens" in result]
    if len(tokens) < len(ALL):
        return asked, UNKNOWN, f"{len(tokens)} of {len(ALL)} variants were measured"
    return bar(asked, all(each == tokens[0] for each in tokens), f"{len(tokens[0])} tokens")


def how_far(jobs: list[Job], first: Job) -> Bar:
    asked = f"how far the variants' tokens agree in {first['dtype']}"
    here = [job for job in jobs if job["dtype"] == first["dtype"] and job["devices"] == 1]
    # Of graphs, those of the step that is recommended, which come later.
    found = {name: result for _, name, result in rows(here) if "tokens" in result}
    if len(found) < len(ALL):
        return asked, UNKNOWN, f"{len(found)} of {len(ALL)} variants were measured"
    shown = [f"{name} {agreement(found[ALL[0]]['tokens'], found[name])}" for name in ALL[1:]]
    return bar(asked, True, f"with {ALL[0]}: {', '.join(shown)}")


def whole(jobs: list[Job]) -> Bar:
    asked = "every job and variant could be measured"
    failed = [job["what"] for job in jobs if "failed" in job]
    failed += [f"{job['what']}: {name}" for job, name, result in rows(jobs) if "failed" in result]
    count = sum(len(job["variants"]) for job in jobs)
    return bar(asked, not failed, f"failed: {', '.join(failed)}" if failed else f"{count} measurements")


def rounds_are_valid(jobs: list[Job]) -> Bar:
    asked = "no round has a problem, and rounds repeat their tokens"
    found = [result for _, _, result in rows(jobs) if "host_s" in result]
    if not found:
        return asked, UNKNOWN, "no rounds"
    bad = sum(bool(result["problems"]) or not result["same_tokens"] for result in found)
    return bar(asked, bad == 0, f"{bad} of {len(found)} measurements")


def clocks(jobs: list[Job]) -> Bar:
    asked = f"host clock and CUDA events agree to {CLOCKS_APART * 100:g} %"
    pairs = [pair for _, _, r in rows(jobs) if "host_s" in r for pair in zip(r["host_s"], r["device_s"], strict=True)]
    apart = [(host - device) / device for host, device in pairs if device is not None]
    if not apart:
        return asked, UNKNOWN, "no events"
    middle = statistics.median(apart)
    numbers = f"{len(apart)} rounds: {min(apart):+.3%} to {max(apart):+.3%}, median {middle:+.3%}"
    return bar(asked, abs(middle) <= CLOCKS_APART, numbers)


def spread(name: str, values: list[float]) -> Bar:
    asked = f"run-to-run spread of {name}"
    if len(values) < 2:
        return asked, UNKNOWN, f"{len(values)} runs"
    apart = (max(values) - min(values)) / statistics.median(values)
    return bar(asked, True, f"medians of {len(values)} runs differ by {apart * 100:.2f} % at most")


def of_group(jobs: list[Job]) -> list[Bar]:
    groups = [job for job in jobs if job["devices"] > 1]
    if not groups:
        return [("several GPUs", UNKNOWN, "one GPU here")]
    bars = []
    for job in groups:
        asked = f"{job['devices']} GPUs over nccl, {job['dtype']}"
        found = {name: result for _, name, result in rows([job])}
        failed = [f"{name}: {result['failed']}" for name, result in found.items() if "failed" in result]
        missing = [f"{name}: {job.get('failed', 'missing')}" for name in job["variants"] if name not in found]
        passed = [
            f"{name} {statistics.median(result['host_s']) * 1e3:.1f} ms"
            for name, result in found.items()
            if "host_s" in result
        ]
        bars.append(bar(asked, not failed and not missing, "; ".join([*passed, *failed, *missing])))
        if job["dtype"] == "float32":
            alone = tokens_of([one for one in jobs if one["dtype"] == "float32" and one["devices"] == 1], ALL[0])
            tokens = [result["tokens"] for result in found.values() if "tokens" in result]
            asked = f"{job['devices']} GPUs give the tokens of one in float32"
            if not alone or not tokens:
                bars.append((asked, UNKNOWN, "nothing to compare"))
            else:
                bars.append(bar(asked, all(each == alone for each in tokens), f"{len(tokens)} variants"))
    return bars


def of_suite(suite: dict[str, Any]) -> list[Bar]:
    ran, stored = f"pytest perf_tests -k {suite.get('model', 'bloomz7b')}", "baselines of this GPU are stored"
    if not suite or "left out" in suite:
        return [(ran, UNKNOWN, suite.get("left out", "")), (stored, UNKNOWN, "")]
    good = suite["status"] == 0 and suite["measured"] > 0
    files = ", ".join(suite["files"]) or "no file"
    return [
        bar(ran, good, f"exit status {suite['status']}: {suite['last']}"),
        bar(stored, bool(suite["files"]) and suite["stored"] >= suite["measured"] > 0, f"{suite['stored']} in {files}"),
    ]
