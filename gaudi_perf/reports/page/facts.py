"""The facts of a case in words: memory, graphs, time of each phase, host, telemetry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from gaudi_perf.reports.figures import Figures
from gaudi_perf.reports.page.data import Pair
from gaudi_perf.reports.page.instruments import telemetry_facts
from gaudi_perf.reports.ranks import rank_facts
from gaudi_perf.reports.text import harmless
from gaudi_perf.vocabulary.formats import percent, seconds, span
from gaudi_perf.vocabulary.run import Run


def facts_of(runs: Sequence[Run], facts: Figures) -> dict[str, list[Pair]]:
    """Names and values by heading; a heading without facts is left out."""
    groups = {
        "Throughput and memory": _throughput(runs, facts),
        "Ranks": rank_facts(runs),
        "Graphs": _graphs(runs),
        "Devices during the rounds": telemetry_facts(runs),
        "Host": _host(runs),
        "Time spent": _phases(runs),
    }
    return {heading: [(name, harmless(value)) for name, value in pairs] for heading, pairs in groups.items() if pairs}


def _throughput(runs: Sequence[Run], facts: Figures) -> list[Pair]:
    found = [("new tokens a second", f"{facts.tokens_per_s:.1f}")]
    batch = runs[0].case.workload.batch_size
    if batch > 1:
        found.append(("prompts a second", f"{batch / facts.latency_s:.4g}"))
    if facts.peak_memory_bytes is not None:
        capacity = runs[0].device.memory_bytes
        share = f", {percent(facts.peak_memory_bytes / capacity)} of {_bytes(capacity)}" if capacity else ""
        found.append(("peak memory", _bytes(facts.peak_memory_bytes) + share))
    times = [run.measurement.tokenization_s for run in runs if run.measurement.tokenization_s]
    if times:
        found.append(("tokenization", seconds(median(times))))
    return found


def _graphs(runs: Sequence[Run]) -> list[Pair]:
    compiled = [run.measurement.graph_compilation for run in runs if run.measurement.graph_compilation]
    counts = [one.count for one in compiled if one.count is not None]
    spent = [one.seconds for one in compiled if one.seconds is not None]
    found = []
    if counts:
        found.append(("compiled before the rounds", _range(counts, str)))
    if spent:
        found.append(("compilation took", _range(spent, seconds)))
    return found


def _host(runs: Sequence[Run]) -> list[Pair]:
    hosts = [run.host for run in runs]
    found: list[Pair] = []
    load = [host.load for host in hosts if host.load is not None]
    steal = [host.steal_percent for host in hosts if host.steal_percent is not None]
    if load:
        found.append(("load when it began", _range(load, lambda value: f"{value:.2f}")))
    if steal:
        found.append(("steal", _range(steal, lambda value: percent(value / 100))))
    if hosts[0].governor:
        found.append(("frequency governor", hosts[0].governor))
    probes = [median(run.measurement.probes_s) for run in runs if run.measurement.probes_s]
    if probes:
        found.append(("reference probes", _range(probes, seconds)))
    return found


def _phases(runs: Sequence[Run]) -> list[Pair]:
    spent: dict[str, float] = {}
    for run in runs:
        for phase, duration in run.measurement.phases_s.items():
            spent[phase] = spent.get(phase, 0.0) + duration
    return [(harmless(phase, 80), seconds(duration)) for phase, duration in spent.items() if duration >= 0]


def _range(values: Sequence[float], text: Callable[[float], str]) -> str:
    return span([text(min(values)), text(max(values))])


def _bytes(value: int) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
