"""The latency of BLOOMZ text generation, in every configuration, against the stored baselines."""

from __future__ import annotations

from gaudi_perf.pytest_plugin import Judge, Measure
from gaudi_perf.vocabulary.configuration import Case


def test_latency(case: Case, measure: Measure, judge: Judge) -> None:
    runs = measure(case)
    judge(case, runs)
