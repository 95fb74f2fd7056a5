"""Every sentence of the tool once, on one page, to be read as a whole: ``tests/golden/wording.txt``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from gaudi_perf.reports.answers import verdicts_frame
from gaudi_perf.reports.figures import figures
from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.page.build import environment
from gaudi_perf.reports.page.facts import device_lines, rank_facts
from gaudi_perf.reports.terminal import failure_text, heading, summary, verdict_message
from gaudi_perf.reports.warnings import lagging, warnings_of
from gaudi_perf.reports.wording import (
    advice,
    case_headline,
    common_slowdown,
    error_rate,
    explanation,
    full_text,
    grounds,
    learned_noise,
    level_change,
    limit_note,
    next_commands,
    notes,
    other_regressions,
    problems_of,
    reason,
    skipped,
    smallest_visible,
    stack_differences,
    stacks_side_by_side,
    title,
)
from gaudi_perf.statistics.multiple_testing import CommonSlowdown
from gaudi_perf.stores.frames import csv_text
from gaudi_perf.stores.refresh import CaseChange, JudgedLevel, Level
from gaudi_perf.vocabulary.baseline import CaseBaseline
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import (
    Advice,
    CaseReport,
    LearnedNoise,
    Reason,
    SharedErrorRate,
    StopReason,
)
from tests.golden_files import Golden
from tests.reports.factories import (
    ADVICE,
    ALIKE,
    EVIDENCE,
    HOT,
    NOTHING,
    NOW,
    OLD,
    OPEN,
    PAIRS,
    REASONS,
    SIDE_BY_SIDE,
    SLOWER,
    UNCHANGED,
    WARNED,
    run_of,
    session_of,
    slowed,
)
from tests.stores.factories import make_run, make_runs


def lines() -> Iterator[str]:
    """The page."""
    yield "# why a verdict is what it is (reason codes)"
    for code in Reason:
        yield f"{code.value}: {full_text(replace(REASONS[code], advice=Advice.NONE))}"
    yield from ("", "# on what evidence")
    for name, verdict in EVIDENCE.items():
        yield f"{name}: {full_text(replace(verdict, advice=Advice.NONE))}"
    yield from ("", "# why no more runs were taken (stop codes)")
    for stop in StopReason:
        yield f"{stop.value or 'none'}: {full_text(replace(PAIRS, stop=stop))}"
    yield from ("", "# what to do next (advice codes)")
    for advised in Advice:
        for verdict in ADVICE.get(advised, [replace(OPEN, advice=advised)]):
            yield f"{advised.value or 'none'}: {advice(verdict)}"
    yield f"store, where the session stored its levels: {advice(NOTHING, refreshed=True)}"
    yield from ("", "# a case in one line, on the page")
    case = NOW.case
    for report in (
        CaseReport(case=case, failed="killed by signal 9 in load"),
        CaseReport(case=case, skipped="needs 8 devices, found 1"),
        CaseReport(case=case),
        *(CaseReport(case=case, verdicts=[verdict]) for verdict in REASONS.values()),
        CaseReport(case=case, verdicts=[EVIDENCE["memory"]]),
    ):
        yield case_headline(report)
    yield from ("", "# how a verdict came about, on the page")
    shown = {
        "slower": (SLOWER, [NOW]),
        "unchanged": (replace(UNCHANGED, role="drift"), make_runs(0.9)),
        "faster": (replace(REASONS[Reason.FASTER], role="named"), make_runs(0.81)),
        "side by side": (replace(PAIRS, advice=Advice.SIDE_BY_SIDE), [NOW]),
        "nothing to compare with": (REASONS[Reason.NO_BASELINE], [NOW]),
    }
    for name, (verdict, runs) in shown.items():
        yield f"{name}:"
        yield from (f"  {sentence}" for sentence in explanation(verdict, figures(runs)))
    yield problems_of([make_run(problems=["throttled", "a graph was compiled"]), make_run(steady=False)])
    yield from ("", "# what a refresh does to a case")
    yield from map(level_change, level_changes())
    yield from ("", "# what a session comes to")
    for kinds in (
        [],
        [SLOWER],
        [SLOWER, SLOWER, UNCHANGED],
        [SLOWER, REASONS[Reason.INVALID], OPEN],
        [REASONS[Reason.INVALID]],
        [REASONS[Reason.INVALID], REASONS[Reason.INVALID], OPEN, NOTHING],
        [UNCHANGED, UNCHANGED],
        [UNCHANGED, OPEN, NOTHING],
        [NOTHING, OPEN],
        [OPEN],
        [NOTHING, NOTHING],
    ):
        yield f"{', '.join(verdict.kind.value for verdict in kinds) or 'no case'}: {title(session_of(kinds))}"
    (waived,) = session_of([SLOWER]).cases
    waived, failed = replace(waived, waived="known"), CaseReport(case=case, failed="killed by signal 9 in load")
    skip = CaseReport(case=case, skipped="needs 16 devices, found 8")
    for name, reports in {
        "REGRESSED, waived": [waived],
        "REGRESSED, and one that is waived": [*session_of([SLOWER]).cases, waived],
        "UNCHANGED, failed": [*session_of([UNCHANGED]).cases, failed],
        "skipped": [skip],
    }.items():
        yield f"{name}: {title(replace(session_of([]), cases=reports))}"
    yield from ("", "# what a session says of all cases together")
    taught = [
        replace(SLOWER, learned_noise=LearnedNoise(runs=5 * count, sessions=count, run=0.004, session=count / 1000))
        for count in (10, 24)
    ]
    for verdicts in ([SLOWER], [SLOWER, replace(SLOWER, smallest_visible_slowdown=0.09)], [NOTHING]):
        yield smallest_visible(session_of(verdicts))
    for verdicts in (taught, taught[:1], [*taught, SLOWER], [SLOWER]):
        yield learned_noise(session_of(verdicts))
    for cases in (1, 4):
        yield error_rate(replace(session_of([SLOWER]), error_rate=SharedErrorRate(cases=cases, rate=0.01)))
    yield common_slowdown(CommonSlowdown(regressed=11, compared=12, least=1.03, most=1.052))
    for now in (NOW, replace(NOW, stack=OLD)):
        yield from stacks_side_by_side(SIDE_BY_SIDE, {NOW.case.id: [now]})
    yield from notes(SIDE_BY_SIDE)
    for reports in ([skip], [skip, skip], [CaseReport(case=case, skipped="no hpu device found")]):
        yield from skipped(replace(session_of([]), cases=reports))
    yield from other_regressions(SIDE_BY_SIDE)
    yield limit_note(NOW)
    yield limit_note(replace(NOW, measurement=replace(NOW.measurement, memory_bandwidth=123.4e9)))
    yield from ("", "# headings")
    for run in (NOW, replace(NOW, case=replace(NOW.case, weights="hub")), make_run(scale="standin")):
        yield heading([run])
    dataset = replace(NOW.case.workload, prompt="dataset prompts.csv", batch_size=8, new_tokens=50)
    yield heading([replace(NOW, case=replace(NOW.case, workload=dataset))])
    mixed = [make_run(dtype=dtype) for dtype in ("fp8", "bfloat16", "fp8kv")]
    larger = replace(NOW.case.workload, batch_size=4, new_tokens=12)
    yield heading([*mixed, replace(NOW, case=replace(NOW.case, workload=larger))])
    yield heading([replace(run, device=replace(run.device, name="cpu")) for run in mixed[:2]])
    yield from ("", "# warnings")
    yield from warnings_of(WARNED)
    yield from (f"{name}: {text}" for name, text in device_lines(HOT))
    yield from ("", "# ranks")
    slow, late = run_of([ALIKE, slowed(0.30)]), run_of([], [[1.2] * 4, [1.0] * 4])
    for runs in ([slow], [slow, slow, run_of([ALIKE, ALIKE])], [late]):
        yield lagging(runs)
    for run in (slow, late):
        yield from (f"{name}: {text}" for name, text in rank_facts([run]))


def level_changes() -> list[CaseChange]:
    """What a refresh can do to a case, or why it does not."""
    entry = CaseBaseline.of(make_runs(1.0))
    own, earlier = (Level(entry, "synapse-1.21.0", own=own) for own in (True, False))
    label, slower = "gaudi2/synapse-1.22.0", JudgedLevel(SLOWER)
    memory = replace(EVIDENCE["memory"], ratio=1.5)
    return [
        CaseChange(entry.id, label, "new", 1.0),
        CaseChange(entry.id, label, "better", 0.9, own, JudgedLevel(REASONS[Reason.FASTER])),
        CaseChange(entry.id, label, "unchanged", 1.0, own),
        CaseChange(entry.id, label, "unchanged", 1.02, earlier, JudgedLevel(OPEN)),
        CaseChange(entry.id, label, "slower", 1.1, own, slower, accepted_ratio=1.1),
        CaseChange(entry.id, label, "slower", 1.1, earlier, slower, accepted_ratio=1.1, reason="collectives"),
        CaseChange(entry.id, label, "unchanged", 1.0, own, JudgedLevel(UNCHANGED, worse=(memory,))),
        CaseChange(entry.id, label, "unchanged", 1.0, own, JudgedLevel(UNCHANGED, noted=(memory,))),
        CaseChange(entry.id, label, refused="3 of 4 runs can be used, and a baseline needs 5: measure more"),
        CaseChange(entry.id, label, "new", 1.0, notes=("the generated tokens have changed",)),
    ]


def test_every_sentence(golden: Golden) -> None:
    golden("wording.txt", "\n".join(lines()))


def test_failed_tests(golden: Golden) -> None:
    """What pytest shows of a test that failed: both stacks, what changed, the rank that lags, what to do next."""
    shown = [verdict_message(NOW.case, [NOW], [verdict]) for verdict in REASONS.values()]
    shown.append(verdict_message(NOW.case, [NOW], [SLOWER, UNCHANGED, EVIDENCE["memory"]]))
    shown.append(verdict_message(NOW.case, [run_of([ALIKE, slowed(0.30)])], [SLOWER]))
    shown.append(failure_text(NOW.case, "load", "was killed by SIGKILL", "one\n\x1b[31mtwo"))
    shown.append(failure_text(NOW.case, "load", "bad path", ""))
    golden("failed_tests.txt", "\n\n".join(shown))


def test_side_by_side(golden: Golden) -> None:
    golden("terminal/side_by_side.txt", summary(SIDE_BY_SIDE, {NOW.case.id: [NOW]}, width=160, color=False))
    golden("markdown/side_by_side.md", session_markdown(SIDE_BY_SIDE, {NOW.case.id: [NOW]}))


def test_settings_that_changed() -> None:
    old = Stack(kind="torch", version="2.13.0", settings={"threads": "1", "same": "x"})
    new = Stack(kind="torch", version="2.13.0", settings={"threads": "2", "same": "x", "LD_PRELOAD": "\x1b[8m"})
    assert stack_differences(old, new) == ["LD_PRELOAD none -> \\x1b[8m", "threads 1 -> 2"]


def test_every_advice_is_a_sentence() -> None:
    for code in set(Advice) - {Advice.NONE}:
        for verdict in ADVICE.get(code, [replace(OPEN, advice=code)]):
            said = advice(verdict)
            assert said.endswith(".") or (code is Advice.MORE_RUNS and verdict.more_runs is None), code


def test_a_waived_case_is_not_advised_to_be_waived() -> None:
    (report,) = session_of([SLOWER]).cases
    report = replace(report, run_ids=[NOW.run_id], waived="known, until 1.25")
    session, runs = replace(session_of([]), cases=[report]), {report.case.id: [NOW]}
    shown = [summary(session, runs, width=160, color=False), session_markdown(session, runs)]
    shown += [csv_text(verdicts_frame(session, runs)), *explanation(SLOWER, figures([NOW]), waived=True)]
    assert not [text for text in shown if "waive it" in text]
    assert any("accept the new level with a reason" in text for text in shown)


def test_the_smallest_detectable_slowdown_is_of_latencies() -> None:
    memory = replace(EVIDENCE["memory"], smallest_visible_slowdown=0.5)
    (report,) = session_of([SLOWER]).cases
    session = replace(session_of([]), cases=[replace(report, verdicts=[memory, SLOWER])])
    assert smallest_visible(session) == smallest_visible(session_of([SLOWER]))
    assert smallest_visible(session_of([memory])) == ""


@pytest.mark.parametrize("counts", [(1, 5), (5, 1)], ids=["published candidate", "published baseline"])
def test_the_runs_of_a_comparison_with_a_published_number_are_those_that_were_measured(
    counts: tuple[int, int],
) -> None:
    verdict = replace(SLOWER, published=True, candidate_runs=counts[0], baseline_runs=counts[1])
    assert "5 runs and a published number" in reason(verdict)


def test_a_csv_has_no_control_characters_and_no_quotes_before_reasons() -> None:
    (report,) = session_of([UNCHANGED]).cases
    evil = CaseReport(case=make_run(devices=8).case, failed="killed \x1b[31m in load", skipped="\x1b]0;x\x07")
    verdict = replace(UNCHANGED, ratio=0.972)
    session = replace(session_of([]), cases=[replace(report, verdicts=[verdict]), evil])
    frame = verdicts_frame(session, {report.case.id: [NOW]})
    assert "\x1b" not in csv_text(frame) and "\\x1b[31m" in csv_text(frame)
    assert frame["reason"][0] == grounds(verdict) and "'" not in csv_text(frame)


def test_a_setting_has_one_name() -> None:
    """The page's table and the terminal's lines name it alike."""
    shown = environment(OLD, NOW.stack).changed
    assert [f"{name} {old} -> {new}" for name, old, new in shown[1:]] == stack_differences(OLD, NOW.stack)


def test_a_correction_that_changes_nothing_is_not_mentioned() -> None:
    assert "correction" in reason(replace(SLOWER, uncorrected_run_spread=0.031))
    assert "correction" not in reason(replace(SLOWER, uncorrected_run_spread=0.0041))


@pytest.mark.parametrize("refreshed", [True, False])
def test_a_level_that_was_stored_need_not_be_stored(refreshed: bool) -> None:
    assert bool(advice(NOTHING, refreshed=refreshed)) is not refreshed
    report = CaseReport(case=NOW.case, run_ids=[NOW.run_id], verdicts=[NOTHING])
    session, runs = replace(session_of([]), refreshed=refreshed, cases=[report]), {NOW.case.id: [NOW]}
    for shown in (summary(session, runs, width=160, color=False), session_markdown(session, runs)):
        assert "Store this level" not in shown or not refreshed
    commands = next_commands(session, "results", "baselines")
    assert any("baselines refresh" in line for line in commands) is not refreshed
