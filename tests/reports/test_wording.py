"""What a summary says of all cases together."""

from __future__ import annotations

import msgspec
import pytest

from gaudi_perf.reports.closing import next_commands
from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.terminal import summary
from gaudi_perf.reports.wording import advice, full_text, reason
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import (
    Advice,
    CaseReport,
    LearnedNoise,
    Reason,
    Session,
    SharedErrorRate,
    StopReason,
    Verdict,
    VerdictKind,
)
from tests.stores.making import make_run

OLD = make_run(version="1.21.0", components={"driver": "1.21.0"}).stack
NOW: Run = make_run(version="1.22.0", components={"driver": "1.22.0"})


def compared(metric: str, kind: VerdictKind, ratio: float) -> Verdict:
    return Verdict(
        kind=kind,
        reason=Reason.SLOWER if kind is VerdictKind.REGRESSED else Reason.WITHIN_TOLERANCE,
        metric=metric,  # type: ignore[arg-type]
        role="side by side",
        baseline="old",
        baseline_stack=OLD,
        ratio=ratio,
        low=ratio - 0.01,
        high=ratio + 0.01,
    )


SESSION = Session(
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
                compared("memory", VerdictKind.REGRESSED, 1.2),
                compared("latency", VerdictKind.UNCHANGED, 1.0),
            ],
            others=[
                compared("first-token", VerdictKind.REGRESSED, 1.5),
                compared("per-token", VerdictKind.UNCHANGED, 1.0),
            ],
            notes=["graphs were not there"],
        )
    ],
)


def test_the_terminal_names_both_stacks_and_what_regressed_beside_the_latency() -> None:
    shown = " ".join(summary(SESSION, {NOW.case.id: [NOW]}, width=160, color=False).split())
    assert "side by side: new\\x1b[2J (synapse-1.22.0) against old (synapse-1.21.0)" in shown
    assert "what differs: driver 1.21.0 -> 1.22.0" in shown
    assert "+20.0 [+19.0, +21.0]" in shown and "REGRESSED (memory)" in shown
    first = "time to first token REGRESSED against old: 50.0 % slower [+49.0 %, +51.0 %]; it does not gate"
    assert f"{NOW.case.id}: {first} (--gate first-token makes it)" in shown
    assert "time per output token" not in shown
    assert "in 1 case: graphs were not there" in shown
    assert shown.endswith("over the 4 cases: if nothing changed, the chance of any false REGRESSED is at most 1 %")


def test_stacks_that_tell_no_difference_say_so() -> None:
    same = msgspec.structs.replace(NOW, stack=OLD)
    shown = summary(SESSION, {NOW.case.id: [same]}, width=160, color=False)
    assert "what differs: no version and no setting that is known" in shown


def test_markdown_has_the_same() -> None:
    shown = session_markdown(SESSION, {NOW.case.id: [NOW]})
    assert "side by side: new" in shown and "driver 1.21.0" in shown
    assert "time to first token REGRESSED" in shown and "one false\\-alarm rate" in shown.replace("false-", "false\\-")
    assert "peak memory ▲ REGRESSED" in shown


BASIS = "(5 runs against 1 run; run-to-run variation: 0.5 %; assumed night-to-night variation: 1.0 %)"
JUDGED = Verdict(
    kind=VerdictKind.INCONCLUSIVE,
    reason=Reason.TOO_IMPRECISE,
    baseline="gaudi2/synapse-1.24.0",
    ratio=1.02,
    low=0.919,
    high=1.13,
    tolerance=0.05,
    smallest_visible_slowdown=0.164,
    candidate_runs=5,
    baseline_runs=1,
    run_spread=0.005,
    session_spread=0.01,
    p_slower=0.003,
    p_faster=0.2,
    comparisons=16,
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {},
            "+2.0 % [-8.1 %, +13.0 %]: a slowdown of 10 % can be neither detected nor ruled out; smallest detectable "
            f"slowdown: 16.4 % {BASIS}",
        ),
        ({"reason": Reason.SLOWER}, f"2.0 % slower [-8.1 %, +13.0 %], p = 0.003 {BASIS}"),
        ({"reason": Reason.SLOWER, "metric": "memory"}, f"2.0 % more [-8.1 %, +13.0 %], p = 0.003 {BASIS}"),
        ({"reason": Reason.FASTER, "ratio": 0.98}, f"2.0 % faster [-8.1 %, +13.0 %], p = 0.20 {BASIS}"),
        (
            {"reason": Reason.NOT_SIGNIFICANT, "ratio": 0.98},
            f"-2.0 % [-8.1 %, +13.0 %], p = 0.20: too large for UNCHANGED, and not significant {BASIS}",
        ),
        (
            {"reason": Reason.NOT_SIGNIFICANT_AMONG_ALL},
            f"+2.0 % [-8.1 %, +13.0 %], p = 0.003: significant by itself, and not as one of 16 comparisons {BASIS}",
        ),
        (
            {"reason": Reason.SIGNIFICANT_AMONG_ALL},
            f"2.0 % slower [-8.1 %, +13.0 %], p = 0.003, significant among all cases of the session {BASIS}",
        ),
        (
            {"reason": Reason.NEVER_STEADY, "text": "a trend", "stop": StopReason.FUTILE, "run_spread": None},
            "a run never became steady (a trend), so its rounds still drift; no more runs: more runs within the budget "
            "cannot settle it",
        ),
        ({"reason": Reason.INVALID, "text": "throttled"}, "throttled"),
        (
            {"reason": Reason.NO_VALUES, "text": "peak memory", "ratio": None, "run_spread": None},
            "no peak memory on both sides",
        ),
    ],
)
def test_every_reason_is_a_sentence(change: dict[str, object], said: str) -> None:
    assert reason(msgspec.structs.replace(JUDGED, **change)) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": "side by side", "session_spread": None}, "5 runs of each stack side by side"),
        ({"published": True}, "5 runs against a published number of unknown spread"),
        (
            {"uncorrected_run_spread": 0.031},
            "run-to-run variation: 0.5 %, 3.1 % before correction by the reference probes",
        ),
        ({"uncorrected_run_spread": 0.0051}, "run-to-run variation: 0.5 %; assumed"),
        (
            {"learned_noise": LearnedNoise(runs=60, sessions=30, run=0.004, session=0.012)},
            "; night-to-night variation: 1.0 %, learned from 60 runs of 30 sessions)",
        ),
        ({"stop": StopReason.CLEAR}, "variation: 1.0 %); no more runs: the verdict is clear"),
    ],
)
def test_a_reason_has_its_basis(change: dict[str, object], said: str) -> None:
    assert said in reason(msgspec.structs.replace(JUDGED, **change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"more_runs": 1}, "About 1 more run would settle it."),
        ({"more_runs": 2, "more_seconds": 720.0}, "About 2 more runs (12 minutes) would settle it."),
        ({"more_runs": 2, "role": "side by side"}, "About 2 more runs of each stack would settle it."),
        ({"more_runs": 2, "few_rounds": True}, "more rounds are cheaper than more runs."),
        ({}, ""),
        (
            {"advice": Advice.CHECK_MACHINE, "probe_change": -0.02},
            "the machine is 2.0 % faster than it was for the baseline",
        ),
        (
            {"advice": Advice.CHECK_ROUNDS, "tail_spread_change": 0.3},
            "The rounds are more uneven than the baseline's, by 30.0 %",
        ),
        ({"advice": Advice.TEXT, "advice_text": "Look."}, "Look."),
    ],
)
def test_advice_with_numbers(change: dict[str, object], said: str) -> None:
    found = advice(msgspec.structs.replace(JUDGED, **{"advice": Advice.MORE_RUNS, **change}))
    assert said in found and bool(said) == bool(found)


def test_every_advice_is_a_sentence() -> None:
    numbers = {"more_runs": 2, "probe_change": 0.1, "tail_spread_change": 0.1, "advice_text": "Look."}
    for one in set(Advice) - {Advice.NONE}:
        assert advice(msgspec.structs.replace(JUDGED, advice=one, **numbers)).endswith("."), one


def test_a_level_that_was_stored_need_not_be_stored() -> None:
    nothing = Verdict(
        kind=VerdictKind.NO_BASELINE, reason=Reason.NO_BASELINE, text="there are none", advice=Advice.STORE
    )
    assert full_text(nothing) == "there are none. Store this level with --refresh-baselines."
    assert full_text(nothing, refreshed=True) == "there are none."
    refreshed = msgspec.structs.replace(
        SESSION, refreshed=True, cases=[CaseReport(case=NOW.case, run_ids=[NOW.run_id], verdicts=[nothing])]
    )
    for shown in (
        summary(refreshed, {NOW.case.id: [NOW]}, width=160, color=False),
        session_markdown(refreshed, {NOW.case.id: [NOW]}),
    ):
        assert "Store this level" not in shown
    assert not any("baselines refresh" in line for line in next_commands(refreshed, "results", "baselines"))
