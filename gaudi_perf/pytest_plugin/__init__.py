"""The suite as a plugin of pytest: ``pytest_plugins = ["gaudi_perf.pytest_plugin"]`` in a conftest.py.

A test takes the fixtures ``measure`` and ``judge``, and its cases from a marker::

    @pytest.mark.perf(model=["llama3.1-8b", "bloomz7b"], graphs=[True, False], workload=Workload(batch_size=4))
    def test_latency(case: Case, measure: Measure, judge: Judge) -> None:
        judge(case, measure(case))

Nothing happens where no test takes them, and nothing heavy is imported while tests are collected.
"""

from __future__ import annotations

from collections.abc import Callable

from gaudi_perf.pytest_plugin.options import settings_of
from gaudi_perf.session.settings import Settings
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.workload import Workload

__all__ = [
    "Case",
    "CompleteDataset",
    "Configuration",
    "Judge",
    "Measure",
    "Settings",
    "Workload",
    "WrongCompletions",
    "settings_of",
]

pytest_plugins = (
    "gaudi_perf.pytest_plugin.options",
    "gaudi_perf.pytest_plugin.benchmark",
    "gaudi_perf.pytest_plugin.cases",
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
