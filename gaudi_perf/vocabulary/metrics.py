"""What is measured of a case and compared with a baseline, and how much of it by default."""

from __future__ import annotations

from typing import Literal

Metric = Literal["latency", "first-token", "per-token", "compilation", "memory"]

LATENCY: Metric = "latency"

TITLES: dict[Metric, str] = {
    "latency": "latency",
    "first-token": "time to first token",
    "per-token": "time per output token",
    "compilation": "graph compilation time",
    "memory": "peak memory",
}
"""Every metric, and what people call it."""

TOLERANCES: dict[Metric, float] = {
    "latency": 0.05,
    "first-token": 0.10,
    "per-token": 0.05,
    "compilation": 0.25,
    "memory": 0.05,
}
"""The largest slowdowns that are accepted by default, as shares. The time to first token is taken in few rounds; a
compiler's time depends on more than the compiler."""

RUNS_FOR_BASELINES = 5
"""How many valid runs of a case a baseline is made of by default."""

SESSIONS_KEPT = 5
"""Of how many sessions a baseline keeps the runs of a case by default; one session does not see what lies between
sessions."""
