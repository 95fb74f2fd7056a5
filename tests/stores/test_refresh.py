from __future__ import annotations

import difflib
import json
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from gaudi_perf.judging import refresh_verdicts
from gaudi_perf.reports.wording import level_change
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import JudgedLevel, Refresh, RefreshPlan, apply, plan_refresh
from gaudi_perf.vocabulary.baseline import CaseBaseline
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Reason, Verdict, VerdictKind
from tests.stores.factories import make_run, make_runs

CASE = "bloomz7b-1x-graphs-kvcache"


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines")


def day(number: int) -> datetime:
    return datetime(2026, 1, number, 12, tzinfo=timezone.utc)


def refresh(store: BaselineStore, runs: list[Run], reason: str = "", on: int = 1, **options: object) -> RefreshPlan:
    return apply(plan_refresh(store, Refresh(runs, accept_regression=reason, now=day(on), **options)))  # type: ignore[arg-type]


def text(plan: RefreshPlan) -> str:
    return "\n".join(map(level_change, plan.changes))


def entry(store: BaselineStore, version: str = "1.22.0", case_id: str = CASE) -> CaseBaseline:
    (case,) = [case for case in store.read("gaudi2", f"synapse-{version}").cases if case.id == case_id]
    return case


def content(store: BaselineStore) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.directory.rglob("*") if path.is_file()}


def test_planning_writes_nothing(store: BaselineStore) -> None:
    plan = plan_refresh(store, Refresh(make_runs()))
    assert [change.kind for change in plan.changes] == ["new"]
    assert text(plan) == f"gaudi2/synapse-1.22.0 {CASE}: new at 1.00 s; 5 runs of 1 session, 2.0 % apart"
    assert not store.directory.exists()


def test_runs_of_two_stacks_side_by_side_are_no_one_level(store: BaselineStore) -> None:
    runs = [msgspec.structs.replace(run, stack_label=label) for label in ("new", "old") for run in make_runs()]
    with pytest.raises(UserError, match="there are runs of 'new' and 'old': name the directory of one session"):
        plan_refresh(store, Refresh(runs))
    assert not plan_refresh(store, Refresh(runs[:5])).refused


def test_what_was_measured_is_stored(store: BaselineStore) -> None:
    runs = make_runs(0.5)
    refresh(store, runs)
    case = entry(store)
    assert {run.run_id: run.measurement.latencies_s for run in case.runs} == {
        run.run_id: pytest.approx(run.measurement.latencies_s) for run in runs
    }
    assert (case.provenance, case.host_class, case.token_ids) == ("measured", "Xeon 8380, 80 cores", [3, 1, 4])
    assert case.runs[0].values("first-token") == [0.1]
    assert case.runs[0].values("memory") == [1e9]
    assert case.anchor is not None
    assert (case.anchor.latency_s, case.anchor.accepted_on, case.anchor.stack) == (0.5, "2026-01-01", "synapse-1.22.0")
    baseline = store.read("gaudi2", "synapse-1.22.0")
    assert baseline.stack == runs[0].stack
    assert baseline.device.available is None


def test_cases_that_were_not_run_stay_byte_by_byte(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0) + make_runs(2.0, devices=8))
    before = store.read("gaudi2", "synapse-1.22.0").cases
    refresh(store, make_runs(1.8, devices=8))
    after = store.read("gaudi2", "synapse-1.22.0").cases
    assert [case.id for case in after] == [CASE, "bloomz7b-8x-graphs-kvcache"]
    assert after[0] == before[0]
    assert after[1].level_s == 1.8


def test_the_same_runs_again_change_nothing(store: BaselineStore) -> None:
    runs = make_runs(1.0)
    refresh(store, runs)
    slower = make_runs(1.2)
    refresh(store, slower, "known", on=2)
    before = content(store)
    again = refresh(store, slower, "known", on=3)
    assert again.files == ()
    assert again.refused == ()
    assert content(store) == before
    assert refresh(store, [*slower, *slower], on=3).refused == ()
    assert content(store) == before


def test_better_unchanged_slower_in_words(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0) + make_runs(1.0, devices=8) + make_runs(1.0, kv_cache=False))
    plan = plan_refresh(
        store,
        Refresh(
            make_runs(0.8) + make_runs(1.02, devices=8) + make_runs(1.2, kv_cache=False),
            accept_regression="the price of correctness",
        ),
    )
    assert [change.kind for change in plan.changes] == ["better", "slower", "unchanged"]
    better, slower, unchanged = text(plan).splitlines()
    assert f"{CASE}: 20.0 % faster than the current level (medians 1.00 s to 800 ms); 5 runs" in better
    assert "20.0 % slower than the current level, the best (medians 1.00 s to 1.20 s); " in slower
    assert "; accepted: the price of correctness; 5 runs" in slower
    assert "unchanged: +2.0 % against the current level, the best (medians 1.00 s to 1.02 s)" in unchanged


def test_slower_without_a_reason_is_refused_and_the_rest_is_written(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0) + make_runs(1.0, devices=8))
    plan = refresh(store, make_runs(1.08) + make_runs(0.9, devices=8))
    (refused,) = plan.refused
    assert refused.case_id == CASE
    assert (
        "8.0 % slower than the current level, the best (medians 1.00 s to 1.08 s); refused: give the reason with"
        in level_change(refused)
    )
    assert entry(store).level_s == 1.0
    assert entry(store, case_id="bloomz7b-8x-graphs-kvcache").level_s == 0.9


def test_an_accepted_regression_stays_in_the_file(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0))
    refresh(store, make_runs(1.19), "  a fix of a race needs it ", on=2)
    refresh(store, make_runs(1.19), on=3)
    refresh(store, make_runs(1.3), "and another", on=4)
    first, second = entry(store).accepted_regressions
    assert (first.accepted_on, first.reason, first.ratio, first.latency_s) == (
        "2026-01-02",
        "a fix of a race needs it",
        1.19,
        1.19,
    )
    assert (second.accepted_on, second.reason) == ("2026-01-04", "and another")
    assert second.ratio == pytest.approx(1.3 / 1.19, abs=1e-5)
    anchor = entry(store).anchor
    assert anchor is not None
    assert (anchor.latency_s, anchor.accepted_on) == (1.0, "2026-01-01")


def session(number: int, level: float = 1.0, **fields: object) -> list[Run]:
    return make_runs(level, session=f"s{number}", started_at=f"2026-01-{number:02d}T12:00:00Z", **fields)


def judged(runs: list[Run], kind: VerdictKind) -> dict[Case, JudgedLevel]:
    return {runs[0].case: JudgedLevel(Verdict(kind=kind, reason=Reason.TEXT, ratio=1.0))}


def sessions_of(store: BaselineStore) -> list[str]:
    return list(dict.fromkeys(run.session_id for run in entry(store).runs))


def test_sessions_at_one_level_are_kept_until_there_are_enough(store: BaselineStore) -> None:
    path = store.directory / "gaudi2" / "synapse-1.22.0.json"
    refresh(store, session(1), on=1)
    for number in range(2, 6):
        before = path.read_text().splitlines()
        runs = session(number, 1.0 + number / 1000)
        plan = refresh(store, runs, on=number, judged=judged(runs, VerdictKind.UNCHANGED))
        assert text(plan).endswith(f"5 runs of 1 session, 2.0 % apart; the entry then has {number} sessions")
        changes = [line for line in difflib.ndiff(before, path.read_text().splitlines()) if line[0] in "+-"]
        assert sum(line.startswith("-") for line in changes) <= 1  # a comma, behind the last run so far
        assert len(changes) < 60
    assert sessions_of(store) == ["s1", "s2", "s3", "s4", "s5"]
    assert entry(store).level_s == pytest.approx(1.003, abs=0.001)

    full, runs = content(store), session(6)
    plan = refresh(store, runs, on=6, judged=judged(runs, VerdictKind.UNCHANGED))
    assert text(plan).endswith("2.0 % apart; the entry stays as it is") and plan.files == ()
    assert content(store) == full
    refresh(store, session(3, 1.003), on=7)  # in other runs of a session that is stored
    assert sessions_of(store) == ["s1", "s2", "s3", "s4", "s5"]
    refresh(store, runs, on=6, judged=judged(runs, VerdictKind.INCONCLUSIVE))
    assert sessions_of(store) == ["s2", "s3", "s4", "s5", "s6"]
    refresh(store, session(7), on=7, sessions_kept=2)
    assert sessions_of(store) == ["s6", "s7"]


@pytest.mark.parametrize(
    "fields",
    [{"level": 0.8}, {"level": 1.3}, {"token_ids": [9]}, {"components": {"driver": "1.22.1"}}],
    ids=str,
)
def test_another_level_or_another_stack_begins_anew(store: BaselineStore, fields: dict[str, object]) -> None:
    refresh(store, session(1))
    refresh(store, session(2))
    refresh(store, session(3, **fields), "known")  # type: ignore[arg-type]
    assert sessions_of(store) == ["s3"]


def test_an_earlier_session_is_added_too(store: BaselineStore) -> None:
    earlier = session(1)
    refresh(store, session(2))
    refresh(store, earlier)
    assert sessions_of(store) == ["s1", "s2"]
    assert entry(store).token_ids == [3, 1, 4]
    before = content(store)
    assert refresh(store, earlier[:5]).files == ()
    assert content(store) == before


def test_runs_that_lie_too_far_apart_are_refused(store: BaselineStore) -> None:
    runs = [make_run(level) for level in (0.35, 0.36, 0.9, 2.3, 2.4)]
    known = refresh_verdicts(runs, store)
    (refused,) = refresh(store, runs, judged=known).refused
    assert "its runs lie 586 % apart (350 ms to 2.40 s), and its noise explains " in refused.refused
    assert refused.refused.endswith("or store them with gaudi-perf baselines refresh --accept-spread")
    assert content(store) == {}
    assert refresh(store, runs, judged=known, accept_spread=True).refused == ()
    ordinary = make_runs(1.0, devices=8)
    assert refresh(store, ordinary, judged=refresh_verdicts(ordinary, store)).refused == ()


def test_slow_ratcheting_shows_and_ends(store: BaselineStore) -> None:
    level, on = 1.0, 1
    refresh(store, session(on, level), on=on)
    sentences = []
    while True:
        level, on = level * 1.021, on + 1
        plan = refresh(store, session(on, level), on=on, sessions_kept=1)
        sentences.append(text(plan))
        if plan.refused:
            break
    assert "+2.1 % against the current level" in sentences[1]
    assert "4.2 % slower than the best (1.00 s of 2026-01-01, synapse-1.22.0)" in sentences[1]
    assert len(sentences) == 5  # 1.021 ** 5 is 10.9 % above what was accepted: twice the margin
    assert "11.0 % slower than the best" in sentences[-1] and "; refused: give the reason" in sentences[-1]
    refresh(store, session(on, level), "seen", on=on, sessions_kept=1)
    assert entry(store).level_s == pytest.approx(level)
    assert refresh(store, make_runs(level * 1.02), on=on + 1).refused == ()


def test_the_anchor_follows_a_better_level_only(store: BaselineStore) -> None:
    for on, level in enumerate([1.0, 0.9, 0.93, 0.8, 0.82], start=1):
        refresh(store, make_runs(level), on=on)
    anchor = entry(store).anchor
    assert anchor is not None
    assert (anchor.latency_s, anchor.accepted_on) == (0.8, "2026-01-04")


def test_a_new_release_is_held_against_the_one_before(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0, version="1.20.0"))
    refresh(store, make_runs(0.9, version="1.21.0"), on=2)
    plan = refresh(store, make_runs(0.972, version="1.22.0"), on=3)
    (refused,) = plan.refused
    assert "8.0 % slower than synapse-1.21.0, the best (medians 900 ms to 972 ms)" in level_change(refused)
    assert not (store.directory / "gaudi2" / "synapse-1.22.0.json").exists()
    refresh(store, make_runs(0.972, version="1.22.0"), "waits for a fix", on=3)
    case = entry(store)
    assert [(item.against, item.ratio) for item in case.accepted_regressions] == [("synapse-1.21.0", 1.08)]
    assert case.anchor is not None
    assert (case.anchor.latency_s, case.anchor.stack) == (0.9, "synapse-1.21.0")
    assert refresh(store, make_runs(0.98, version="1.22.0"), on=4).refused == ()


def test_a_slow_case_on_another_host_class_is_new(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0))
    plan = refresh(store, make_runs(2.0, cpu="EPYC 9654"))
    assert [change.kind for change in plan.changes] == ["new"]
    assert sorted(case.level_s for case in store.read("gaudi2", "synapse-1.22.0").cases) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        (make_runs(count=4), "4 runs can be used, and a baseline needs 5: measure more"),
        (
            [*make_runs(count=4), make_run(problems=["a graph was compiled in a round"])],
            "4 of 5 runs can be used, and a baseline needs 5",
        ),
        ([*make_runs(count=4), make_run(steady=False)], "never became steady (limit)"),
        ([*make_runs(count=4), make_run(problems=["throttled"])], "is INVALID (throttled)"),
        (
            [*make_runs(count=4), make_run(components={"driver": "1.22.1"})],
            "of several stacks (driver 1.22.0 -> 1.22.1): refresh from the runs of one",
        ),
        (
            [*make_runs(count=4), make_run(cpu="EPYC 9654")],
            "of several host classes ('Xeon 8380, 80 cores' and 'EPYC 9654, 80 cores')",
        ),
        ([*make_runs(count=4), make_run(token_ids=[2, 7])], "generated different tokens"),
    ],
)
def test_refusals_and_their_reasons(store: BaselineStore, runs: list[Run], reason: str) -> None:
    plan = refresh(store, runs)
    (refused,) = plan.refused
    assert reason in level_change(refused)
    assert plan.files == ()
    assert content(store) == {}


def test_runs_that_cannot_be_used_are_left_out_of_enough_others(store: BaselineStore) -> None:
    plan = refresh(store, [*make_runs(1.0), make_run(9.0, problems=["throttled"], run_id="bad")])
    assert plan.refused == ()
    assert "run bad is INVALID (throttled)" in text(plan)
    assert "bad" not in [run.run_id for run in entry(store).runs]


def test_a_verdict_takes_the_place_of_the_margin(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0))
    noisy = make_runs(1.06)
    for verdict, kind, refused in [
        (VerdictKind.UNCHANGED, "unchanged", False),
        (VerdictKind.REGRESSED, "slower", True),
        (VerdictKind.IMPROVED, "better", False),
        (VerdictKind.INCONCLUSIVE, "slower", True),
        (VerdictKind.NO_BASELINE, "slower", True),
        (VerdictKind.INVALID, "refused", True),
    ]:
        judged = Verdict(kind=verdict, reason=Reason.TEXT, ratio=1.055)
        (change,) = plan_refresh(store, Refresh(noisy, judged={noisy[0].case: JudgedLevel(judged)})).changes
        assert (change.kind, not change.written) == (kind, refused), verdict
        if verdict is not VerdictKind.INVALID:
            clear = verdict in (VerdictKind.UNCHANGED, VerdictKind.REGRESSED, VerdictKind.IMPROVED)
            number = "5.5 % " if clear else "6.0 % "
            assert number in level_change(change), "one number, that of the decision"


def test_a_margin_of_ones_own(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0))
    assert plan_refresh(store, Refresh(make_runs(1.03), margin=0.02)).refused
    assert not plan_refresh(store, Refresh(make_runs(1.08), margin=0.1)).refused


def test_outputs_that_another_case_contradicts_are_stored_only_if_they_are_the_known_ones(store: BaselineStore) -> None:
    runs = make_runs()
    other = make_run(graphs=False, problems=["WRONG OUTPUT: one of the two is wrong"], contradicts=[CASE])
    plan = plan_refresh(store, Refresh([*runs, other]))
    refused = {change.case_id: change.refused for change in plan.changes}[CASE]
    assert "the outputs of bloomz7b-1x-eager-kvcache differ from its own" in refused, refused
    elsewhere = msgspec.structs.replace(other, session_id="session-2")
    assert [change.case_id for change in plan_refresh(store, Refresh([*runs, elsewhere])).accepted] == [CASE]
    refresh(store, runs)
    assert [change.case_id for change in plan_refresh(store, Refresh([*runs, other])).accepted] == [CASE], (
        "known to be right"
    )


def test_what_agrees_with_a_contradicted_case_is_stored_only_if_most_agree(store: BaselineStore) -> None:
    def of(devices: int, graphs: bool, *contradicts: str) -> list[Run]:
        problems = ["WRONG OUTPUT: one of the two is wrong"] if contradicts else []
        return [make_run(devices=devices, graphs=graphs, problems=problems, contradicts=contradicts) for _ in range(5)]

    first, second = of(1, True), of(1, False)
    third, fourth = of(8, True, CASE), of(8, False, CASE)
    assert [change.case_id for change in plan_refresh(store, Refresh([*first, *second, *third])).accepted] == [
        "bloomz7b-1x-eager-kvcache"
    ]
    plan = plan_refresh(store, Refresh([*first, *second, *third, *fourth]))
    assert plan.accepted == (), "as many say otherwise"
    refused = {change.case_id: change.refused for change in plan.changes}["bloomz7b-1x-eager-kvcache"]
    assert "the outputs of bloomz7b-8x-eager-kvcache, bloomz7b-8x-graphs-kvcache differ from its own" in refused


def test_changed_tokens_are_told(store: BaselineStore) -> None:
    refresh(store, make_runs(1.0))
    assert "the generated tokens have changed" in text(plan_refresh(store, Refresh(make_runs(1.0, token_ids=[9]))))


def test_another_driver_under_the_same_version_is_named_with_its_cases(store: BaselineStore) -> None:
    older, newer = {"driver": "1.22.0"}, {"driver": "1.22.1"}
    refresh(store, make_runs(1.0, components=older) + make_runs(1.0, devices=8, components=older))
    refresh(store, make_runs(1.0, devices=8, components=newer))
    baseline = store.read("gaudi2", "synapse-1.22.0")
    assert baseline.stack.components == older
    assert [entry.stack.components for entry in baseline.entries] == [older, newer]
    refresh(store, make_runs(1.0, components=newer))
    baseline = store.read("gaudi2", "synapse-1.22.0")
    assert baseline.stack.components == newer
    assert [case.stack for case in baseline.cases] == [None, None]


def test_published_numbers_stay_beside_what_was_measured(store: BaselineStore) -> None:
    source = Path(__file__).parents[2] / "baselines" / "gaudi2" / "synapse-1.10.0.json"
    target = store.directory / "gaudi2" / source.name
    target.parent.mkdir(parents=True)
    target.write_bytes(source.read_bytes())
    refresh(store, make_runs(0.9, version="1.10.0"))
    cases = store.read("gaudi2", "synapse-1.10.0").cases
    assert [(case.provenance, case.level_s) for case in cases if case.id == CASE] == [
        ("measured", 0.9),
        ("published", 0.772),
    ]
    assert len(cases) == 4


def test_what_others_wrote_meanwhile_is_kept_and_counts(store: BaselineStore) -> None:
    plan = plan_refresh(store, Refresh(make_runs(1.0) + make_runs(1.0, kv_cache=False)))
    refresh(store, make_runs(2.0, devices=8) + make_runs(0.5))
    done = apply(plan)
    assert [change.case_id for change in done.refused] == [CASE]
    assert {case.id: case.level_s for case in store.read("gaudi2", "synapse-1.22.0").cases} == {
        CASE: 0.5,
        "bloomz7b-1x-graphs-nocache": 1.0,
        "bloomz7b-8x-graphs-kvcache": 2.0,
    }


def test_several_devices_and_stacks_go_to_their_files(store: BaselineStore) -> None:
    refresh(store, make_runs(version="1.20.0") + make_runs(version="1.22.0") + make_runs(device="gaudi3"))
    assert [place.label for place in store.list()] == [
        "gaudi2/synapse-1.20.0",
        "gaudi2/synapse-1.22.0",
        "gaudi3/synapse-1.22.0",
    ]


def test_options_that_make_no_sense(store: BaselineStore) -> None:
    with pytest.raises(UserError, match="needs at least 1 run, and 0 was asked for"):
        plan_refresh(store, Refresh([], minimum_runs=0))
    for reason, said in ((" ", "the reason is empty"), ("REASON", "REASON: say why"), ("...", r"\.\.\.: say why")):
        with pytest.raises(UserError, match=said):
            plan_refresh(store, Refresh([], accept_regression=reason))
    assert apply(plan_refresh(store, Refresh([]))).changes == ()


def test_a_malformed_file_is_never_written_over(store: BaselineStore) -> None:
    refresh(store, make_runs())
    path = store.directory / "gaudi2" / "synapse-1.22.0.json"
    tree = json.loads(path.read_text())
    tree["cases"][0]["colour"] = "blue"
    path.write_text(json.dumps(tree))
    plan_of_before = content(store)
    with pytest.raises(UserError, match=r"synapse-1.22.0.json: .*`colour`"):
        refresh(store, make_runs())
    assert content(store) == plan_of_before
