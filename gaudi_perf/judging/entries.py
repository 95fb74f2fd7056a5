"""How two stored levels compare: those of baselines, of published numbers, or of what was measured."""

from __future__ import annotations

import msgspec

from gaudi_perf.judging.case import verdict_of
from gaudi_perf.judging.noise import NoiseHistory
from gaudi_perf.judging.samples import sample_of
from gaudi_perf.statistics.verdict import as_published, compare
from gaudi_perf.vocabulary.baseline import Entry
from gaudi_perf.vocabulary.verdict import Verdict


def compared_entries(ours: Entry, theirs: Entry, tolerance: float, history: NoiseHistory) -> Verdict | None:
    """Compare two entries; None for two published numbers, since of neither a spread is known."""
    candidate, baseline = ours.case, theirs.case
    if candidate.published is not None and baseline.published is not None:
        return None
    measured = ours if candidate.published is None else theirs
    runs = (*candidate.runs, *baseline.runs)
    learned = history.estimate(
        measured.comparability,
        measured.stack,
        {run.session_id for run in runs},
        probes="published" not in (candidate.provenance, baseline.provenance)
        and all(run.measurement.probes_s is not None for run in runs),
    )
    prior = None if learned is None else learned.prior
    mine, other = ([sample_of(run) for run in side.runs] for side in (candidate, baseline))
    if baseline.published is not None:
        mine, other, prior = as_published(mine, baseline.published.latency_s, prior)
    elif candidate.published is not None:
        other, mine, prior = as_published(other, candidate.published.latency_s, prior)
    verdict = verdict_of(compare(mine, other, tolerance=tolerance, prior=prior), learned)
    published = "published" in (candidate.provenance, baseline.provenance)
    return msgspec.structs.replace(verdict, published=published, baseline=theirs.label, baseline_stack=theirs.stack)
