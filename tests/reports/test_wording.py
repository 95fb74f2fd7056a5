"""What a summary says of all cases together."""

from __future__ import annotations

import msgspec

from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.terminal import summary
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Reason, Session, SharedErrorRate, Verdict, VerdictKind
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
