"""From runs to the numbers that statistics take."""

from __future__ import annotations

import numpy as np

from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.vocabulary.metrics import LATENCY, Metric
from gaudi_perf.vocabulary.run import Run


def sample_of(run: Run, metric: Metric = LATENCY) -> RunSample:
    """A run as numbers of a metric it has, with its session; of the latency with its probes."""
    probes = run.measurement.probes_s if metric == LATENCY else None
    return RunSample(
        rounds=np.asarray([value for value in run.values(metric) if value > 0], dtype=np.float64),
        probes=None if probes is None else np.asarray(probes, dtype=np.float64),
        session=run.session_id,
    )
