from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gaudi_perf.reports.terminal import summary
from gaudi_perf.reports.wording import verdict_counts
from gaudi_perf.statistics.roofline import roofline_of
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import WORST_FIRST, CaseReport, Session, Verdict, VerdictKind
from tests.golden_files import Golden
from tests.reports.factories import EVERY_RUN, EVERYTHING
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying

NOW = make_run(components={"driver": "1.22.0", "pytorch": "2.6.0"})
OLD = Stack(kind="synapse", version="1.21.0", components={"driver": "1.21.0", "pytorch": "2.6.0", "firmware": "9"})
VARIANTS = [(graphs, cache) for graphs in (True, False) for cache in (True, False)]


def verdict(kind: VerdictKind, ratio: float | None = 1.2, **more: object) -> Verdict:
    if ratio is not None and kind not in (VerdictKind.NO_BASELINE, VerdictKind.INVALID):
        more = {"ratio": ratio, "low": ratio * 0.95, "high": ratio * 1.05, "baseline_stack": OLD, **more}
        more.setdefault("baseline", "gaudi2/synapse-1.21.0")
    return verdict_saying(kind, **{"text": f"because {kind.value.lower()}", "advice": "Look.", **more})


def session(*reports: CaseReport) -> Session:
    times = {"started_at": "2026-01-31T12:00:00Z", "ended_at": "2026-01-31T12:01:00Z"}
    return Session(session_id="s", cases=list(reports), **times)


def reports(*kinds: Sequence[Verdict]) -> tuple[Session, dict[str, list[Run]]]:
    """A session with a case for each."""
    runs = {}
    cases = []
    for index, verdicts in enumerate(kinds):
        graphs, cache = VARIANTS[index % 4]
        run = make_run(1.234, graphs=graphs, kv_cache=cache, model=("bloomz176b", "bloomz7b")[index // 4], devices=8)
        runs[run.case.id] = [run]
        cases.append(CaseReport(case=run.case, run_ids=[run.run_id], verdicts=list(verdicts)))
    return session(*cases), runs


ALL = [[verdict(kind, 0.8 if kind is VerdictKind.IMPROVED else 1.2)] for kind in reversed(WORST_FIRST)]


@pytest.mark.parametrize(
    ("width", "name"), [(80, "terminal/80.txt"), (120, "terminal/120.txt"), (160, "terminal/160.txt")]
)
def test_the_summary(width: int, name: str, golden: Golden) -> None:
    shown = summary(EVERYTHING, EVERY_RUN, width=width, color=False)
    golden(name, shown)
    assert all(len(line) <= width for line in shown.splitlines())


def test_the_summary_in_colour(golden: Golden) -> None:
    golden("terminal/coloured.txt", summary(EVERYTHING, EVERY_RUN, width=120, color=True))


@pytest.mark.parametrize("width", [80, 100, 120, 132, 200])
def test_rows_fit_the_terminal(width: int) -> None:
    shown = summary(*reports(*ALL), width=width, color=False)
    rows = [line for line in shown.splitlines() if line.startswith("bloomz") and ":" not in line.split("  ")[0]]
    assert len(rows) >= len(ALL)
    assert all(len(line) <= width for line in shown.splitlines())
    assert "…" not in shown


@pytest.mark.parametrize("length", [41, 60, 90])
@pytest.mark.parametrize("width", [60, 80, 120, 132])
def test_an_id_that_is_too_long_is_folded_and_no_number_is_cut(width: int, length: int) -> None:
    model = "m" * (length - len("-8x-graphs-kvcache"))
    run = make_run([1.234, 1.235, 1.236, 1.237], model=model, devices=8)
    report = CaseReport(case=run.case, run_ids=[run.run_id], verdicts=[verdict(VerdictKind.REGRESSED)])
    shown = summary(session(report), {run.case.id: [run]}, width=width, color=False)
    assert len(run.case.id) == length and all(len(line) <= width for line in shown.splitlines())
    assert "…" not in shown
    for number in ("+20.0 [+14.0, +26.0]", "REGRESSED", " 1.24 s ", f" {100 / 1.2355:.3g} "):
        assert number in shown


@pytest.mark.parametrize("width", [80, 132])
def test_the_worst_comes_first(width: int) -> None:
    shown = summary(*reports(*ALL), width=width, color=False)
    table = shown.split("\n\n")[0]
    places = [table.find(f" {kind.value}") for kind in WORST_FIRST]
    assert -1 not in places and places == sorted(places)


def test_of_two_regressions_the_larger_comes_first() -> None:
    small, large = [verdict(VerdictKind.REGRESSED, 1.1)], [verdict(VerdictKind.REGRESSED, 1.9)]
    shown = summary(*reports(small, large), width=132, color=False)
    assert shown.index("+90.0") < shown.index("+10.0")


@pytest.mark.parametrize("width", [80, 132])
def test_both_verdicts_of_a_case_are_shown(width: int) -> None:
    drift = verdict(VerdictKind.UNCHANGED, 1.01, role="drift", baseline_stack=NOW.stack)
    shown = summary(*reports([verdict(VerdictKind.REGRESSED), drift]), width=width, color=False)
    (first, second) = (line for line in shown.splitlines() if line.endswith(("REGRESSED", "UNCHANGED")))
    assert first.endswith("REGRESSED") and " 1.21.0 " in first and "+20.0 [+14.0, +26.0]" in first
    assert second.endswith("UNCHANGED") and " 1.22.0 " in second


def test_an_empty_session_has_an_empty_summary() -> None:
    assert summary(session(), {}, width=80, color=False) == ""


def test_standins_are_called_so() -> None:
    run = make_run(scale="standin")
    report = CaseReport(case=run.case, verdicts=[verdict(VerdictKind.NO_BASELINE)])
    shown = summary(session(report), {run.case.id: [run]}, width=80, color=False)
    assert "stand-in shapes" in shown
    assert "stand-in" not in summary(*reports(*ALL), width=80, color=False)


def test_markup_in_reasons_is_only_text() -> None:
    shown = summary(*reports([verdict(VerdictKind.NO_BASELINE, text="[red]a[/red] [bold]")]), width=132, color=False)
    assert "[red]a[/red] [bold]" in shown


def test_counts_are_by_the_worst_verdict_of_each_case() -> None:
    two = [verdict(VerdictKind.REGRESSED), verdict(VerdictKind.UNCHANGED)]
    found, _ = reports(two, [verdict(VerdictKind.UNCHANGED)], [verdict(VerdictKind.UNCHANGED)])
    assert verdict_counts(found) == "1 REGRESSED, 2 UNCHANGED"


def test_how_near_the_memory_s_limit() -> None:
    shown, runs = reports([verdict(VerdictKind.UNCHANGED)])
    (run,) = next(iter(runs.values()))
    limit = roofline_of(run)
    assert limit is not None
    assert f" {limit.limit_s / 1.234 * 100:.3g} %" in summary(shown, runs, width=80, color=False)
    unknown = replace(run, device=replace(run.device, name="emulated-gaudi2"))
    assert "of limit: " not in summary(shown, {run.case.id: [unknown]}, width=80, color=False)
