"""Loads the suite's plugin, and the cases of BLOOMZ."""

pytest_plugins = ("gaudi_perf.pytest_plugin", "fixtures.bloomz")
