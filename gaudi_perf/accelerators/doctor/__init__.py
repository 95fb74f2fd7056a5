"""Is this machine fit to measure? Facts of the machine, and what each means, with its remedy. Imports no torch."""

from __future__ import annotations

from gaudi_perf.accelerators.doctor.checks import diagnose
from gaudi_perf.accelerators.doctor.facts import Facts, gather
from gaudi_perf.accelerators.doctor.findings import Diagnosis, Finding

__all__ = ["Diagnosis", "Facts", "Finding", "diagnose", "gather"]
