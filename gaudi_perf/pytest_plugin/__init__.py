"""The suite as a plugin of pytest: ``pytest_plugins = ["gaudi_perf.pytest_plugin"]`` in a conftest.py.

A test takes the fixtures ``measure`` and ``judge``::

    def test_latency(measure: Measure, judge: Judge, perf_settings: Settings) -> None:
        case = perf_settings.case(Configuration(model="bloomz7b", devices=1, graphs=True, kv_cache=True), new_tokens=64)
        judge(case, measure(case))

Nothing happens where no test takes them, and nothing heavy is imported while tests are collected.
"""

from __future__ import annotations

from collections.abc import Callable

from gaudi_perf.pytest_plugin.options import settings_of
from gaudi_perf.session.settings import Settings
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.run import Run

__all__ = [
    "Case",
    "CompleteDataset",
    "Configuration",
    "Judge",
    "Measure",
    "Settings",
    "WrongCompletions",
    "settings_of",
]

pytest_plugins = (
    "gaudi_perf.pytest_plugin.options",
    "gaudi_perf.pytest_plugin.benchmark",
    "gaudi_perf.pytest_plugin.fixtures",
    "gaudi_perf.pytest_plugin.summary",
)

Measure = Callable[[Case], "list[Run]"]
"""Measures a case; skips the test where the machine cannot run it, fails it where the worker group fails."""
Judge = Callable[[Case, "list[Run]"], None]
"""Holds the runs of a case against its baselines; fails the test if they regressed."""
CompleteDataset = Callable[[Case], None]
"""Completes the dataset in a configuration, and holds its throughput against the baselines; fails if it regressed."""
WrongCompletions = Callable[[str], "list[str]"]
"""Says of each reference completion of a model that this machine contradicts where it does; skips the test where the
weights are made up."""
