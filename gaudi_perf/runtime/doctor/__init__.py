"""Is this machine fit to measure? Facts of the machine, and what each means, with its remedy. Imports no torch."""

from __future__ import annotations

from gaudi_perf.runtime.doctor.checks import diagnose
from gaudi_perf.runtime.doctor.facts import Facts, gather
from gaudi_perf.runtime.doctor.findings import Diagnosis, Finding

__all__ = ["Diagnosis", "Facts", "Finding", "diagnose", "gather"]
