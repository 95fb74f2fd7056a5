"""What must hold for any runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_perf.judging.case import verdict_of
from gaudi_perf.reports.wording import reason
from gaudi_perf.statistics.evidence import Layout, gather, with_slowdown
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.statistics.verdict import (
    Comparison,
    ComparisonSettings,
    compare,
    decide,
)
from gaudi_perf.vocabulary.formats import percent
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.statistics.factories import make_runs, samples, scaled, slowed

OPPOSITE = {VerdictKind.REGRESSED: VerdictKind.IMPROVED, VerdictKind.IMPROVED: VerdictKind.REGRESSED}


@given(samples(), samples())
@settings(max_examples=60, deadline=None)
def test_swapping_the_sides_inverts_the_ratio(candidate: list[RunSample], baseline: list[RunSample]) -> None:
    forth, back = compare(candidate, baseline), compare(baseline, candidate)
    assert forth.ratio * back.ratio == pytest.approx(1, rel=1e-6)
    assert forth.low * back.high == pytest.approx(1, rel=1e-6)
    assert forth.p_slower == pytest.approx(back.p_faster, abs=1e-6)
    if forth.kind in OPPOSITE:
        assert back.kind == OPPOSITE[forth.kind]


@given(samples(), samples(), st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_the_unit_of_time_does_not_matter(candidate: list[RunSample], baseline: list[RunSample], factor: float) -> None:
    one, other = compare(candidate, baseline), compare(scaled(candidate, factor), scaled(baseline, factor))
    assert one.kind == other.kind or min(one.p_slower, one.p_faster) == pytest.approx(0.005, rel=1e-3)
    assert one.ratio == pytest.approx(other.ratio, rel=1e-6)
    assert one.high == pytest.approx(other.high, rel=1e-6)


@given(samples(least=2), samples(least=2), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_runs_does_not_matter(candidate: list[RunSample], baseline: list[RunSample], dice: object) -> None:
    one = compare(candidate, baseline)
    dice.shuffle(candidate)  # type: ignore[attr-defined]
    dice.shuffle(baseline)  # type: ignore[attr-defined]
    other = compare(candidate, baseline)
    assert other.ratio == pytest.approx(one.ratio, rel=1e-6)
    assert other.low == pytest.approx(one.low, rel=1e-6)


@given(samples(), samples(), st.floats(0.005, 0.3))
@settings(max_examples=60, deadline=None)
def test_never_unchanged_without_having_seen(
    candidate: list[RunSample], baseline: list[RunSample], tolerance: float
) -> None:
    outcome = compare(candidate, baseline, tolerance=tolerance)
    assert outcome.low <= outcome.ratio <= outcome.high
    assert outcome.reason and 0 <= outcome.p_slower <= 1
    if outcome.kind == VerdictKind.UNCHANGED:
        # Without probes a slow session would explain one, and then it would be INCONCLUSIVE, which is seen as well.
        if all(sample.probes is not None for sample in (*candidate, *baseline)):
            assert outcome.smallest_visible_slowdown <= 2 * tolerance
        assert outcome.high < 1 + 2 * tolerance
        seen = percent(outcome.smallest_visible_slowdown)
        assert f"smallest detectable slowdown: {seen}" in reason(verdict_of(outcome))
    if outcome.kind == VerdictKind.REGRESSED:
        assert outcome.low > 1 - 1e-9
        assert outcome.ratio >= math.sqrt(1 + tolerance) * (1 - 1e-9)
    if outcome.kind == VerdictKind.INCONCLUSIVE:
        assert outcome.advice


@given(samples(), samples(), st.floats(-0.3, 1.0))
@settings(max_examples=40, deadline=None)
def test_an_injected_slowdown_moves_the_evidence_and_nothing_else(
    candidate: list[RunSample], baseline: list[RunSample], slowdown: float
) -> None:
    evidence = gather(candidate, baseline, Layout.STORED)
    moved = decide(with_slowdown(evidence, slowdown), 0.05, ComparisonSettings())
    measured = compare(slowed(candidate, slowdown), baseline)
    assert moved.ratio == pytest.approx(measured.ratio, rel=1e-6)
    assert moved.high == pytest.approx(measured.high, rel=1e-5)
    assert moved.p_slower == pytest.approx(measured.p_slower, abs=1e-6)


def test_more_evidence_narrows_the_interval_on_average() -> None:
    rng = np.random.default_rng(7)

    def width(runs: int) -> float:
        widths = []
        for _ in range(40):
            outcome = compare(make_runs(rng, runs), make_runs(rng, runs))
            widths.append(math.log(outcome.high / outcome.low))
        return float(np.mean(widths))

    widths = [width(runs) for runs in (2, 3, 5, 10, 30)]
    assert widths == sorted(widths, reverse=True)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        outcome = compare(
            make_runs(rng, 6, level=0.1, run=0.05), make_runs(rng, 6, run=0.05), layout=Layout.SIDE_BY_SIDE
        )
        covered += outcome.low <= math.exp(0.1) <= outcome.high
    assert covered / 400 >= 0.97


@pytest.mark.parametrize("tolerance", [0.0, -0.05, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    runs = make_runs(np.random.default_rng(9), 2)
    with pytest.raises(ValueError, match="tolerance"):
        compare(runs, runs, tolerance=tolerance)


def test_sides_without_runs_are_refused() -> None:
    runs = make_runs(np.random.default_rng(10), 2)
    with pytest.raises(ValueError, match="the baseline has no runs"):
        compare(runs, [])
    with pytest.raises(ValueError, match="the candidate has no runs"):
        compare([], runs)
    with pytest.raises(ValueError, match="side by side needs pairs"):
        compare(runs, runs[:1], layout=Layout.SIDE_BY_SIDE)


def test_identical_runs_without_any_noise_are_judged() -> None:
    runs = [RunSample(rounds=np.full(5, 2.0)) for _ in range(5)]
    outcome: Comparison = compare(runs, runs)
    assert outcome.ratio == pytest.approx(1)
    assert outcome.kind in (VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE)


GOODNESS = [VerdictKind.REGRESSED, VerdictKind.INCONCLUSIVE, VerdictKind.UNCHANGED, VerdictKind.IMPROVED]


@given(samples(), samples(), st.lists(st.floats(-0.5, 2.0), min_size=2, max_size=4), st.floats(0.005, 0.3))
@settings(max_examples=60, deadline=None)
def test_a_slower_candidate_never_gets_a_better_verdict(
    candidate: list[RunSample], baseline: list[RunSample], slowdowns: list[float], tolerance: float
) -> None:
    evidence = gather(candidate, baseline, Layout.STORED)
    verdicts = [
        decide(with_slowdown(evidence, slowdown), tolerance, ComparisonSettings()) for slowdown in sorted(slowdowns)
    ]
    # A faster one that is not certainly faster may be INCONCLUSIVE where a slower one is UNCHANGED: order the others.
    order = [GOODNESS.index(one.kind) for one in verdicts if one.kind != VerdictKind.INCONCLUSIVE]
    assert order == sorted(order, reverse=True)
    evidence_of_slowness = [one.p_slower for one in verdicts]
    assert evidence_of_slowness == sorted(evidence_of_slowness, reverse=True)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
@pytest.mark.parametrize("field", ["rounds", "probes"])
def test_what_is_no_duration_is_refused(field: str, value: float) -> None:
    values = {"rounds": np.ones(3), "probes": np.ones(3)}
    values[field] = np.array([1.0, value, 1.0])
    with pytest.raises(ValueError, match=f"{field} must be finite seconds above 0"):
        RunSample(**values)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(1, 8), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_constant_rounds_and_single_runs_are_judged(ours: float, theirs: float, runs: int, rounds: int) -> None:
    candidate = [RunSample(rounds=np.full(rounds, ours)) for _ in range(runs)]
    outcome = compare(candidate, [RunSample(rounds=np.full(rounds, theirs))])
    assert outcome.ratio == pytest.approx(ours / theirs, rel=1e-6)
    assert all(math.isfinite(value) for value in (outcome.low, outcome.high, outcome.smallest_visible_slowdown))
