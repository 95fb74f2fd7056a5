"""Warnings about the devices, ranks, stacks and outputs of a session which do not make its measurements INVALID."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.wording import of_cases
from gaudi_perf.statistics.outputs import WRONG
from gaudi_perf.statistics.ranks import slow_rank
from gaudi_perf.stores.tokens import sharing_reference
from gaudi_perf.vocabulary.formats import counted, percent, seconds
from gaudi_perf.vocabulary.run import Measurement, Run
from gaudi_perf.vocabulary.telemetry import DeviceSample, Telemetry

STEADY_CLOCK = 0.95
"""A clock that stays above this share of its highest value during the rounds counts as steady."""
_LAST = 0.9
"""A rank that is last in this share of the rounds is always last."""
_LATE = 0.05
"""An end that is later than the first rank's by this share of the round is late."""


def warnings_of(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """A line for every warning, with the cases that it is about; runs are by case id."""
    found: list[tuple[str, str]] = []
    against: dict[str, dict[str, None]] = {}  # for each case those that contradict its outputs
    for other, many in runs.items():
        for case in (case for run in many for case in run.measurement.contradicts):
            against.setdefault(case, {})[other] = None
    for case, many in runs.items():
        of_devices = [text for run in many for text in telemetry_warnings(run.measurement.telemetry)]
        texts = (*of_devices, lagging(many), _outvoted(case, runs, list(against.get(case, ()))))
        found += [(case, text) for text in texts if text]
    stacks = [
        f"stack of {run.stack.name}: {text}" for many in runs.values() for run in many for text in run.stack.mismatches
    ]
    return [harmless(line) for line in (*dict.fromkeys(stacks), *of_cases(found))]


def _outvoted(case: str, runs: Mapping[str, Sequence[Run]], against: Sequence[str]) -> str:
    """Whether more configurations contradict the outputs of a case than agree with them; it is not INVALID itself."""
    if not against:
        return ""
    sharing = {sharing_reference(run) for run in runs[case]}
    agreeing = [
        other
        for other, many in runs.items()
        if not sharing.isdisjoint(sharing_reference(run) for run in many)
        and not any(problem.startswith(WRONG) for run in many for problem in run.measurement.problems)
    ]
    if len(against) <= len(agreeing):
        return ""
    who = ", ".join(against)
    return f"likely WRONG OUTPUT here, not there: {who} contradict its outputs, more than agree with it"


def telemetry_warnings(telemetry: Telemetry | None) -> list[str]:
    """Warnings about the devices; what makes rounds INVALID is reported as that, not here."""
    if telemetry is None:
        return []
    found = []
    throttled = telemetry.throttled()
    for device in sorted({sample.device for sample in telemetry.samples}):
        samples = [sample for sample in telemetry.samples if sample.device == device]
        reasons = sorted(
            {reason for sample in samples if sample.moment == "before" for reason in sample.throttle_reasons}
        )
        if reasons and device not in throttled:
            found.append(f"device {device} was throttled ({', '.join(reasons)}) before the warm-up, not in the rounds")
        clocks = [sample.clock_mhz for sample in samples if sample.moment == "during" and sample.clock_mhz is not None]
        if clocks and min(clocks) < STEADY_CLOCK * max(clocks) and device not in throttled:
            found.append(
                f"the clock of device {device} varied from {min(clocks):.0f} to {max(clocks):.0f} MHz during the timed "
                f"rounds, {_why(samples)}"
            )
    if telemetry.unclear_processes:
        who = ", ".join(process.label for process in telemetry.unclear_processes[:8])
        found.append(
            f"cannot determine whether other processes used the devices: {who} may belong to this run or to others (in "
            "a container: docker run --pid=host)"
        )
    return [*found, *telemetry.notes]


def _why(samples: Sequence[DeviceSample]) -> str:
    limits = sorted({limit for sample in samples if sample.moment == "during" for limit in sample.limits})
    return f"held back by: {', '.join(limits)}" if limits else "and the device reports no reason"


def lagging(runs: Sequence[Run]) -> str:
    """Which rank lags in most of the runs of a case, and how that is known; empty if none does."""
    found = [rank for run in runs for rank in [_slow(run.measurement)] if rank is not None]
    if not found:
        return ""
    ((rank, times),) = Counter(rank for rank, _ in found).most_common(1)
    if 2 * times <= len(runs):
        return ""
    (how, *_) = [text for number, text in found if number == rank]
    return f"rank {rank} lags: {how}" + (f" ({times} of {counted(len(runs), 'run')})" if len(runs) > 1 else "")


def _slow(measurement: Measurement) -> tuple[int, str] | None:
    slow = slow_rank(measurement.rank_passes_s or [])
    if slow is not None:
        return slow.rank, f"its forward pass alone takes {percent(slow.by)} longer than the other ranks'"
    skew = measurement.rank_skew
    if skew is None or skew.lagging_share < _LAST or skew.median_s < _LATE * median(measurement.latencies_s):
        return None
    return (
        skew.lagging_rank,
        f"it is last in {percent(skew.lagging_share)} of the rounds, {seconds(skew.median_s)} after the first rank",
    )
