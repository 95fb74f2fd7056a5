"""Verdicts, sessions and runs of every kind, for the golden files of reports."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gaudi_perf.statistics.outputs import WRONG
from gaudi_perf.statistics.ranks import skew_of
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample, Telemetry
from gaudi_perf.vocabulary.verdict import (
    Advice,
    CaseReport,
    LearnedNoise,
    Reason,
    Session,
    SharedErrorRate,
    Verdict,
    VerdictKind,
)
from tests.stores.factories import make_run

ALIKE = [0.0100 + 0.00001 * number for number in range(8)]


def run_of(passes: list[list[float]], rounds: list[list[float]] | None = None) -> Run:
    ranks = rounds or [[1.0] * 4 for _ in passes]
    run = make_run([max(times) for times in zip(*ranks, strict=True)], devices=len(ranks))
    told = {"rank_latencies_s": ranks, "rank_skew": skew_of(ranks), "rank_passes_s": passes or None}
    return replace(run, measurement=replace(run.measurement, **told))


def slowed(by: float) -> list[float]:
    return [value * (1 + by) for value in ALIKE]


OLD = Stack(
    kind="synapse",
    version="1.21.0",
    components={"driver": "1.21.0", "firmware": "9", "pytorch": "2.6.0"},
    settings={"PT_HPU_LAZY_MODE": "1"},
)
NOW = make_run(version="1.22.0", components={"driver": "1.22.0", "pytorch": "2.6.0"})
SLOWER = Verdict(
    kind=VerdictKind.REGRESSED,
    reason=Reason.SLOWER,
    role="release",
    baseline="gaudi2/synapse-1.21.0",
    baseline_stack=OLD,
    ratio=1.1,
    low=1.06,
    high=1.14,
    confidence=0.99,
    tolerance=0.05,
    smallest_visible_slowdown=0.04,
    baseline_median_s=0.9,
    candidate_runs=1,
    baseline_runs=5,
    run_spread=0.004,
    session_spread=0.011,
    p_slower=0.0001,
    p_faster=0.9999,
    advice=Advice.ACCEPT_OR_WAIVE,
)
UNCHANGED = replace(
    SLOWER,
    kind=VerdictKind.UNCHANGED,
    reason=Reason.WITHIN_TOLERANCE,
    ratio=1.004,
    low=0.98,
    high=1.029,
    p_slower=0.41,
    advice=Advice.NONE,
)
OPEN = replace(
    UNCHANGED, kind=VerdictKind.INCONCLUSIVE, reason=Reason.NOT_SIGNIFICANT, ratio=1.04, high=1.1, p_slower=0.0132
)
NOTHING = Verdict(kind=VerdictKind.NO_BASELINE, reason=Reason.NO_BASELINE, advice=Advice.STORE)
REASONS = {
    Reason.SLOWER: SLOWER,
    Reason.FASTER: replace(
        SLOWER,
        kind=VerdictKind.IMPROVED,
        reason=Reason.FASTER,
        ratio=0.9,
        low=0.86,
        high=0.94,
        p_faster=0.002,
        advice=Advice.REFRESH,
    ),
    Reason.WITHIN_TOLERANCE: UNCHANGED,
    Reason.TOO_IMPRECISE: replace(OPEN, reason=Reason.TOO_IMPRECISE, smallest_visible_slowdown=0.147),
    Reason.NOT_SIGNIFICANT: OPEN,
    Reason.NOT_SIGNIFICANT_AMONG_ALL: replace(OPEN, reason=Reason.NOT_SIGNIFICANT_AMONG_ALL, comparisons=12),
    Reason.SIGNIFICANT_AMONG_ALL: replace(SLOWER, reason=Reason.SIGNIFICANT_AMONG_ALL, p_slower=0.0061),
    Reason.SLOWER_THAN_OTHERS: replace(SLOWER, reason=Reason.SLOWER_THAN_OTHERS),
    Reason.TOO_FEW_RUNS: replace(OPEN, reason=Reason.TOO_FEW_RUNS),
    Reason.NEVER_STEADY: replace(OPEN, reason=Reason.NEVER_STEADY, text="the limit of 20 rounds", ratio=None),
    Reason.NO_BASELINE: replace(NOTHING, text="nothing is stored for gaudi2"),
    Reason.NO_VALUES: Verdict(kind=VerdictKind.NO_BASELINE, reason=Reason.NO_VALUES, text="peak memory"),
    Reason.INVALID: Verdict(kind=VerdictKind.INVALID, reason=Reason.INVALID, text="a graph was compiled in round 3"),
    Reason.TEXT: replace(SLOWER, reason=Reason.TEXT, text="the sentence of an earlier version"),
}
PAIRS = replace(OPEN, role="side by side", baseline="old", candidate_runs=5, session_spread=None)
EVIDENCE = {
    "published number": replace(SLOWER, published=True, candidate_runs=5),
    "corrected": replace(SLOWER, candidate_runs=5, uncorrected_run_spread=0.031),
    "learned": replace(SLOWER, learned_noise=LearnedNoise(runs=60, sessions=12, run=0.004, session=0.011)),
    "side by side": PAIRS,
    "faster, not significant": replace(OPEN, ratio=0.98, low=0.92, high=1.04, p_faster=0.2),
    "memory": replace(SLOWER, metric="memory"),
    "first token": replace(SLOWER, metric="first-token"),
    "huge": replace(SLOWER, ratio=25.0, low=0.2, high=5e6),
}
MORE_RUNS = replace(OPEN, smallest_visible_slowdown=0.062, advice=Advice.MORE_RUNS, more_runs=4)
ADVICE = {
    Advice.NONE: [OPEN],
    Advice.CHECK_MACHINE: [
        replace(OPEN, advice=Advice.CHECK_MACHINE, probe_change=0.062),
        replace(OPEN, advice=Advice.CHECK_MACHINE, probe_change=-0.062),
    ],
    Advice.CHECK_ROUNDS: [
        replace(OPEN, advice=Advice.CHECK_ROUNDS, tail_spread_change=0.12),
        replace(OPEN, advice=Advice.CHECK_ROUNDS, tail_spread_change=-0.12),
    ],
    Advice.MORE_RUNS: [
        replace(MORE_RUNS, more_runs=1, more_seconds=40),
        replace(MORE_RUNS, more_seconds=760, few_rounds=True),
        replace(MORE_RUNS, role="side by side", more_seconds=9000),
        MORE_RUNS,
        replace(MORE_RUNS, more_runs=None),
    ],
    Advice.ANOTHER_SESSION: [
        replace(OPEN, advice=Advice.ANOTHER_SESSION, more_sessions=number) for number in (None, 1, 140)
    ],
    Advice.TEXT: [replace(OPEN, advice=Advice.TEXT, advice_text="The advice of an earlier version.")],
}


def session_of(verdicts: Sequence[Verdict]) -> Session:
    """A session with a case for each."""
    cases = [make_run(devices=2**index).case for index in range(len(verdicts))]
    return Session(
        session_id="s",
        started_at="2026-01-31T12:00:00Z",
        ended_at="2026-01-31T13:00:00Z",
        cases=[CaseReport(case=case, verdicts=[verdict]) for case, verdict in zip(cases, verdicts, strict=True)],
    )


SIDE_BY_SIDE = Session(
    session_id="s",
    started_at="2026-01-31T12:00:00Z",
    ended_at="2026-01-31T13:00:00Z",
    candidate_stack="new\x1b[2J",
    baseline_stack="old",
    error_rate=SharedErrorRate(cases=4, rate=0.01),
    cases=[
        CaseReport(
            case=NOW.case,
            run_ids=[NOW.run_id],
            verdicts=[
                replace(SLOWER, role="side by side", baseline="old", session_spread=None, metric="memory"),
                replace(UNCHANGED, role="side by side", baseline="old", session_spread=None),
            ],
            others=[
                replace(SLOWER, role="side by side", baseline="old", metric="first-token"),
                replace(UNCHANGED, role="side by side", baseline="old", metric="per-token"),
            ],
            notes=["the baseline of 1.20.0 has no graphs"],
        )
    ],
)
HOT = Telemetry(
    source="pyhlml",
    samples=[
        DeviceSample(device=0, moment="before", throttle_reasons=["thermal"]),
        DeviceSample(device=0, clock_mhz=1650, temperature_c=55, power_w=300.4),
        DeviceSample(device=0, moment="after", clock_mhz=1640, temperature_c=56),
        DeviceSample(device=1, clock_mhz=1650),
        DeviceSample(device=1, clock_mhz=1200),
        DeviceSample(device=2, clock_mhz=1650, limits=["power cap"]),
        DeviceSample(device=2, clock_mhz=1300, limits=["power cap"]),
        DeviceSample(device=3, clock_mhz=1650),
        DeviceSample(device=3, moment="after", clock_mhz=800, throttle_reasons=["power"]),
    ],
    foreign_processes=[DeviceProcess(device=3, pid=7, name="python\x1b")],
    unclear_processes=[DeviceProcess(device=3, pid=7, name="python")],
    notes=["the clock of device 4 is not known"],
)
WARNED: dict[str, list[Run]] = {
    "stack": [replace(NOW, stack=replace(NOW.stack, mismatches=["driver 1.22.0 and firmware 1.20.0 do not match"]))],
    "devices": [replace(NOW, measurement=replace(NOW.measurement, telemetry=HOT))],
    "ranks": [run_of([ALIKE, slowed(0.30)])],
    "outputs": [make_run()],
    "one": [make_run(contradicts=["outputs"], problems=[f"{WRONG}: token 3"])],
    "two": [make_run(contradicts=["outputs"], problems=[f"{WRONG}: token 3"])],
}
EVERY_RUN: dict[str, list[Run]] = {}
"""The runs of ``EVERYTHING``, by case id."""
_MEASURED = []
for _index, _verdict in enumerate(
    [
        REASONS[Reason.INVALID],
        SLOWER,
        replace(SLOWER, ratio=1.3, low=1.25, high=1.35),
        OPEN,
        MORE_RUNS,
        REASONS[Reason.NO_BASELINE],
        REASONS[Reason.FASTER],
        UNCHANGED,
    ]
):
    _run = make_run(
        [(4.92, 1.23)[_index // 4] * factor for factor in (1.0, 1.01, 1.02, 0.99, 1.005)],
        model=("bloomz176b", "bloomz7b")[_index // 4],
        graphs=_index % 4 < 2,
        kv_cache=_index % 2 == 0,
        devices=8,
        components={"driver": "1.22.0", "pytorch": "2.6.0"},
    )
    if _index == 0:
        _run = replace(_run, measurement=replace(_run.measurement, telemetry=HOT))
    EVERY_RUN[_run.case.id] = [_run]
    if _verdict.ratio is not None:
        _verdict = replace(_verdict, baseline_median_s=round(_run.level_s / _verdict.ratio, 2))
    _drift = [
        replace(
            UNCHANGED, baseline_median_s=4.9, role="drift", baseline="gaudi2/synapse-1.22.0", baseline_stack=_run.stack
        )
    ]
    _MEASURED.append(
        CaseReport(
            case=_run.case,
            run_ids=[_run.run_id],
            verdicts=[_verdict, *(_drift if _index == 2 else [])],
            others=[replace(SLOWER, metric="first-token")] if _index == 1 else [],
            waived="a known regression, mended in 1.24 (until synapse-1.23.0)" if _index == 1 else "",
            notes=["peak memory is not known on gaudi2"] if _index < 2 else [],
        )
    )
EVERYTHING = Session(
    session_id="20260131T120000.000000Z-00000000",
    started_at="2026-01-31T12:00:00Z",
    ended_at="2026-01-31T13:00:00Z",
    error_rate=SharedErrorRate(cases=8, rate=0.01),
    waivers=[
        "bloomz7b-8x-graphs-kvcache on gaudi2 until synapse-1.22.0; EXPIRED on synapse-1.22.0: it fails again: known"
    ],
    cases=[
        *_MEASURED,
        CaseReport(case=make_run(devices=16).case, skipped="needs 16 devices, found 8"),
        CaseReport(case=make_run(devices=32).case, skipped="needs 32 devices, found 8"),
        CaseReport(case=make_run(devices=4).case, failed="killed by SIGKILL in load \x1b[2J"),
    ],
)
"""Cases of every verdict; one waived, some skipped, one that failed."""
