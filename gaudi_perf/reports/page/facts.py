"""The facts of a case in words: memory, graphs, time of each phase, host, and what the devices reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from gaudi_perf.reports.figures import Figures
from gaudi_perf.reports.page.data import Pair
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.warnings import lagging
from gaudi_perf.vocabulary.formats import percent, seconds, span, throughput
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.telemetry import DeviceSample, Telemetry

_READINGS = (("clock", "clock_mhz", "MHz"), ("temperature", "temperature_c", "°C"), ("power", "power_w", "W"))
"""Name, field of a sample, and unit."""


def facts_of(runs: Sequence[Run], facts: Figures) -> dict[str, list[Pair]]:
    """Names and values by heading; a heading without facts is left out."""
    hosts = [run.host for run in runs]
    probes = [median(run.measurement.probes_s) for run in runs if run.measurement.probes_s]
    compiled = [run.measurement.graph_compilation for run in runs if run.measurement.graph_compilation]
    groups = {
        "Throughput and memory": _throughput(runs, facts),
        "Ranks": rank_facts(runs),
        "Graphs": [
            ("compiled before the rounds", _range([one.count for one in compiled], str)),
            ("compilation took", _range([one.seconds for one in compiled], seconds)),
        ],
        "Devices during the rounds": _devices(runs),
        "Host": [
            ("load when it began", _range([host.load for host in hosts], lambda value: f"{value:.2f}")),
            ("steal", _range([host.steal_percent for host in hosts], lambda value: percent(value / 100))),
            ("frequency governor", hosts[0].governor or ""),
            ("reference probes", _range(probes, seconds)),
        ],
        "Time spent": _phases(runs),
    }
    return {
        heading: [(name, harmless(value)) for name, value in pairs if value]
        for heading, pairs in groups.items()
        if any(value for _, value in pairs)
    }


def _throughput(runs: Sequence[Run], facts: Figures) -> list[Pair]:
    batch, memory, capacity = runs[0].case.workload.batch_size, facts.peak_memory_bytes, runs[0].device.memory_bytes
    share = f", {percent(memory / capacity)} of {_bytes(capacity)}" if memory and capacity else ""
    times = [run.measurement.tokenization_s for run in runs if run.measurement.tokenization_s]
    return [
        ("new tokens a second", throughput(facts.tokens_per_s)),
        ("prompts a second", f"{batch / facts.latency_s:.4g}" if batch > 1 else ""),
        ("peak memory", "" if memory is None else _bytes(memory) + share),
        ("tokenization", seconds(median(times)) if times else ""),
    ]


def rank_facts(runs: Sequence[Run]) -> list[Pair]:
    """For each rank of the first run its rounds and its passes by itself, in words; nothing for a single rank."""
    measurement = runs[0].measurement
    rounds, passes = measurement.rank_latencies_s or [], measurement.rank_passes_s or []
    if len(rounds) < 2:
        return []
    facts = []
    for rank, latencies in enumerate(rounds):
        text = f"rounds {seconds(median(latencies))}"
        if rank < len(passes) and passes[rank]:
            text += f", a pass alone {seconds(median(passes[rank]))}"
        facts.append((f"rank {rank}", text))
    skew = measurement.rank_skew
    if skew is not None and skew.median_s > 0:
        last = f"rank {skew.lagging_rank} last in {percent(skew.lagging_share)}"
        facts.append(("ends of a round", f"{seconds(skew.median_s)} apart; {last}"))
    lag = lagging(runs)
    return [*facts, ("slow rank", lag)] if lag else facts


def _devices(runs: Sequence[Run]) -> list[Pair]:
    reported = [run.measurement.telemetry for run in runs if run.measurement.telemetry is not None]
    if not reported:
        return []
    samples = [sample for one in reported for sample in one.samples if sample.moment != "before"]
    throttled = dict.fromkeys(
        f"device {device}: {', '.join(why)}" for one in reported for device, why in one.throttled().items()
    )
    others = dict.fromkeys(process.label for one in reported for process in one.foreign_processes)
    several = len({sample.device for sample in samples}) > 1
    return [
        *((name, _reading(samples, field, unit)) for name, field, unit in _READINGS),
        ("throttled", "; ".join(throttled) or "no"),
        ("processes of others", ", ".join(others) or "none"),
        *(device_lines(reported[-1]) if several else []),
        ("reported by", ", ".join(dict.fromkeys(one.source for one in reported))),
    ]


def device_lines(telemetry: Telemetry) -> list[Pair]:
    """For each device, what it reported during the rounds (right after them, if they were short), in words."""
    lines = []
    for device in sorted({sample.device for sample in telemetry.samples}):
        samples = [sample for sample in telemetry.samples if sample.device == device and sample.moment != "before"]
        reasons = sorted({reason for sample in samples for reason in sample.throttle_reasons})
        parts = [_reading(samples, field, unit) for _, field, unit in _READINGS]
        parts += [f"throttled: {', '.join(reasons)}"] if reasons else []
        if text := ", ".join(part for part in parts if part):
            lines.append((f"device {device}", text))
    return lines


def _reading(samples: Sequence[DeviceSample], field: str, unit: str) -> str:
    """The lowest and the highest reading, and which device had them where there are several."""
    known = [(reading, one.device) for one in samples if (reading := getattr(one, field)) is not None]
    if not known:
        return ""
    (low, lowest), (high, highest) = min(known), max(known)
    if round(low) == round(high):
        return f"{low:.0f} {unit}"
    several = len({device for _, device in known}) > 1
    where = (f" (device {lowest})", f" (device {highest})") if several else ("", "")
    return f"{low:.0f}{where[0]} to {high:.0f} {unit}{where[1]}"


def _phases(runs: Sequence[Run]) -> list[Pair]:
    spent: dict[str, float] = {}
    for run in runs:
        for phase, duration in run.measurement.phases_s.items():
            spent[phase] = spent.get(phase, 0.0) + duration
    return [(harmless(phase, 80), seconds(duration)) for phase, duration in spent.items() if duration >= 0]


def _range(values: Sequence[float | None], text: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return span([text(min(known)), text(max(known))]) if known else ""


def _bytes(value: int) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
