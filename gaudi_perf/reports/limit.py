"""The memory's limit in words."""

from __future__ import annotations

from gaudi_perf.reports.text import harmless
from gaudi_perf.statistics.roofline import roofline_of
from gaudi_perf.vocabulary.run import Run


def limit_note(run: Run) -> str:
    """What the column ``of limit`` says of runs like this one; empty where the bandwidth is not known."""
    limit = roofline_of(run)
    if limit is None:
        return ""
    bandwidth = limit.bandwidth
    told = "measured" if bandwidth.source == "measured" else f"by {bandwidth.source}"
    return harmless(
        f"of limit: share of the latency in which {run.device.name} at {rate(bandwidth.bytes_per_s)} ({told}) could "
        "read the weights and the cache for every token"
    )


def rate(bytes_per_s: float) -> str:
    """A bandwidth: ``3.35 TB/s``, ``89.4 GB/s``."""
    return f"{bytes_per_s / 1e12:.3g} TB/s" if bytes_per_s >= 1e12 else f"{bytes_per_s / 1e9:.3g} GB/s"
