"""Whole sessions through judging: error rates, and that no REGRESSED is lost on the way to the exit status."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from gaudi_perf.judging import CaseJudge, Judgement, Rules
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.judging.outcome import fails, why_passes, with_added
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES, Metric
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import WORST_FIRST, CaseReport, Reason, Verdict, VerdictKind
from gaudi_perf.vocabulary.waiver import Waiver
from tests.judging.factories import against, case_of, noisy_runs
from tests.stores.factories import make_run

PATH = Path(__file__).parents[2] / "benchmarks" / "sessions.py"


@pytest.fixture(scope="module")
def sessions() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_sessions", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("compared", ["baseline of 5 sessions", "side by side 5 + 5"])
def test_sessions_without_change_pass_and_slower_cases_fail_them(sessions: Any, compared: str) -> None:
    gather, plan = sessions.scenarios()[compared]
    slow = sessions.which_slow()
    same = sessions.simulate(gather, slow["none"], 0.0, 12, 1, plan)
    assert same.failed == same.falsely == 0, "one in a hundred is permitted"
    assert same.same[VerdictKind.UNCHANGED] > 0.9 * same.same.total()
    for which in ("one", "half", "all"):
        tally = sessions.simulate(gather, slow[which], 0.1, 3, 2, plan)
        assert tally.failed == tally.sessions, which
        assert tally.falsely == 0
        assert tally.slower[VerdictKind.REGRESSED] > 0.9 * tally.slower.total()
        assert tally.slower[VerdictKind.UNCHANGED] == 0


NOTHING_ACCEPTED = BaselineStore("nowhere")
KINDS = st.sampled_from(list(VerdictKind))
METRICS: st.SearchStrategy[Metric] = st.sampled_from(list(TITLES))
VERDICTS = st.lists(
    st.builds(
        Verdict,
        kind=KINDS,
        reason=st.just(Reason.TEXT),
        metric=METRICS,
        baseline=st.sampled_from(["a", "b"]),
        ratio=st.none() | st.floats(0.5, 2.0),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda verdict: (verdict.metric, verdict.baseline),
)
WAIVERS = st.lists(
    st.builds(
        Waiver,
        case=st.sampled_from([make_run().case.id, make_run(graphs=False).case.id]),
        device=st.sampled_from(["gaudi2", "gaudi3"]),
        kind=st.just("synapse"),
        reason=st.just("known"),
        until=st.sampled_from(["1.21.0", "1.22.0", "1.23.0"]),
        added_on=st.just("2026-01-01"),
        up_to_ratio=st.none() | st.floats(1.01, 2.0),
    ),
    max_size=3,
)


class _Waivers(WaiverStore):
    """Waivers that need no file."""

    def __init__(self, waivers: list[Waiver]) -> None:
        super().__init__("nowhere")
        self._waivers = tuple(waivers)

    def list(self) -> tuple[Waiver, ...]:
        return self._waivers


def _passes_for_now(verdict: Verdict, run: Run, waivers: list[Waiver]) -> bool:
    """What docs/baselines.md says of waivers, written down once more."""
    return verdict.metric == LATENCY and any(
        waiver.case == run.case.id
        and waiver.device == run.device.name
        and tuple(map(int, waiver.until.split("."))) > (1, 22, 0)
        and (waiver.up_to_ratio is None or verdict.ratio is None or verdict.ratio <= waiver.up_to_ratio)
        for waiver in waivers
    )


@given(VERDICTS, WAIVERS, st.booleans(), st.booleans(), st.booleans())
def test_what_regressed_fails_unless_every_one_is_waived_or_accepted(
    verdicts: list[Verdict], waivers: list[Waiver], accept: bool, require: bool, late: bool
) -> None:
    run = make_run(version="1.22.0")
    verdicts = sorted(verdicts, key=lambda verdict: WORST_FIRST.index(verdict.kind))
    report = CaseReport(
        case=run.case, verdicts=verdicts, waived=why_passes(_Waivers(waivers), NOTHING_ACCEPTED, run, verdicts)
    )
    if late and not any(verdict.kind == VerdictKind.INVALID for verdict in verdicts):
        added = msgspec.structs.replace(verdicts[-1], kind=VerdictKind.REGRESSED)
        all_ = with_added(report, added).verdicts
        assert len(all_) == len(verdicts) and added in all_, "nothing else is lost"
        why = why_passes(_Waivers(waivers), NOTHING_ACCEPTED, run, all_)
        report = msgspec.structs.replace(with_added(report, added), waived=why)
    kinds = [verdict.kind for verdict in report.verdicts]
    regressed = [verdict for verdict in report.verdicts if verdict.kind == VerdictKind.REGRESSED]
    told = fails(report.verdicts, report.waived, accept_regression=accept, require_baseline=require)
    if VerdictKind.INVALID in kinds:
        assert told
    elif regressed:
        passes = all(_passes_for_now(verdict, run, waivers) for verdict in regressed)
        assert bool(report.waived) == passes
        assert told == (not passes and not accept)
    else:
        assert told == (require and bool({VerdictKind.NO_BASELINE, VerdictKind.INCONCLUSIVE} & set(kinds)))


CASES = st.lists(
    st.tuples(
        st.sampled_from([1.0, 1.0, 1.03, 1.06, 1.2, 0.8]),  # the latency
        st.sampled_from([1.0, 1.3]),  # the time to first token
        st.booleans(),  # whether a second baseline is there, which nothing changed against
    ),
    min_size=1,
    max_size=5,
)
GATES = st.sampled_from([frozenset({LATENCY}), frozenset({LATENCY, "first-token"}), frozenset({"first-token"})])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CASES, GATES, st.integers(0, 10**6))
def test_whatever_a_comparison_finds_reaches_the_exit_status(
    cases: list[tuple[float, float, bool]], gates: frozenset[Metric], seed: int
) -> None:
    testing, judgements, reports = MultipleTesting(len(cases)), dict[Case, Judgement](), dict[Case, CaseReport]()
    for number, (latency, first_token, second) in enumerate(cases):
        name = f"{seed}-{number}"
        ours = noisy_runs(5, level=latency, first_token=0.1 * first_token, seed=f"{name} ours")
        theirs = [noisy_runs(5, seed=f"{name} theirs", session="20260130T120000.000000Z-00000001")]
        if second:
            same = {"level": latency, "first_token": 0.1 * first_token}
            theirs.append(noisy_runs(5, seed=f"{name}", session="20260129T120000.000000Z-00000001", **same))  # type: ignore[arg-type]
        case = case_of(number)
        judgements[case] = CaseJudge(testing.rules(Rules(gates=gates))).judge(against(ours, *theirs))
        testing.add(case, judgements[case])
        reports[case] = CaseReport(case=case, verdicts=list(judgements[case].verdicts))
    at_once = {case for case, report in reports.items() if fails(report.verdicts, "")}
    added = testing.conclude().added
    for case, verdict in added.items():
        reports[case] = with_added(reports[case], verdict)
        assert fails(reports[case].verdicts, "")
    assert at_once.isdisjoint(added)
    for case, (latency, first_token, _) in zip(judgements, cases, strict=True):
        judgement, failed = judgements[case], fails(reports[case].verdicts, "")
        assert {verdict.metric for verdict in judgement.verdicts} <= gates
        assert not {verdict.metric for verdict in judgement.others} & gates
        if any(verdict.kind == VerdictKind.REGRESSED for verdict in judgement.verdicts):
            assert case in at_once, "nothing takes back what a test said"
        # 20 and 30 % are far beyond this noise; 3 % and 6 % may be found or not.
        if (LATENCY in gates and latency == 1.2) or ("first-token" in gates and first_token == 1.3):
            assert failed, judgement.verdicts
        if (LATENCY not in gates or latency <= 1) and ("first-token" not in gates or first_token == 1):
            assert not failed, judgement.verdicts
