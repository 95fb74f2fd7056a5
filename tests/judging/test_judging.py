"""From runs and stored baselines to verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from gaudi_perf.judging import Rules, refresh_verdicts
from gaudi_perf.reports.wording import advice, level_change, reason
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh, regressions
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline, Published
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.judging.factories import judge_runs, noisy_runs
from tests.stores.factories import make_run, make_runs


def store(directory: Path, *levels: Sequence[Run]) -> BaselineStore:
    """Baselines of these runs, each of its own stack."""
    for runs in levels:
        first = runs[0]
        baseline = Baseline(device=first.device, stack=first.stack, cases=[CaseBaseline.of(list(runs))])
        write(directory, baseline)
    return BaselineStore(directory)


def write(directory: Path, baseline: Baseline) -> None:
    path = directory / baseline.device.name / f"{baseline.stack.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(baseline))


def test_drift_and_release_are_both_judged_worst_first(tmp_path: Path) -> None:
    baselines = store(tmp_path, make_runs(1.0, version="1.22.0"), make_runs(0.8, version="1.21.0"))
    verdicts = judge_runs(make_runs(1.0, version="1.22.0"), baselines, "")
    assert [(verdict.role, verdict.kind) for verdict in verdicts] == [
        ("release", VerdictKind.REGRESSED),
        ("drift", VerdictKind.UNCHANGED),
    ]
    release, drift = verdicts
    assert release.ratio == pytest.approx(1.25, rel=0.02)
    assert drift.ratio == pytest.approx(1.0, rel=0.02)
    assert release.baseline == "gaudi2/synapse-1.21.0" and release.baseline_median_s == pytest.approx(0.8, rel=0.02)
    assert release.baseline_stack is not None and release.baseline_stack.name == "synapse-1.21.0"
    for verdict in verdicts:
        assert verdict.low is not None and verdict.high is not None and verdict.ratio is not None
        assert verdict.low <= verdict.ratio <= verdict.high
        assert verdict.tolerance == 0.05 and verdict.confidence is not None and 0.9 <= verdict.confidence < 1


@pytest.mark.parametrize(
    ("level", "kind"), [(1.3, VerdictKind.REGRESSED), (1.0, VerdictKind.UNCHANGED), (0.7, VerdictKind.IMPROVED)]
)
def test_the_level_decides(tmp_path: Path, level: float, kind: VerdictKind) -> None:
    (verdict,) = judge_runs(make_runs(level), store(tmp_path, make_runs(1.0)), "")
    assert verdict.kind is kind


def test_against_names_one_baseline(tmp_path: Path) -> None:
    baselines = store(tmp_path, make_runs(1.0, version="1.22.0"), make_runs(0.8, version="1.21.0"))
    (verdict,) = judge_runs(make_runs(1.0, version="1.22.0"), baselines, "1.21.0")
    assert verdict.role == "named" and verdict.kind is VerdictKind.REGRESSED
    with pytest.raises(UserError, match=r"--against 1\.7\.0: there is no such baseline"):
        judge_runs(make_runs(1.0), baselines, "1.7.0")


def test_an_invalid_measurement_is_never_judged(tmp_path: Path) -> None:
    baselines = store(tmp_path, make_runs(1.0))
    runs = [*make_runs(1.0), make_run(1.0, problems=["throttled", "compiled"]), make_run(1.0, problems=["throttled"])]
    (verdict,) = judge_runs(runs, baselines, "")
    assert verdict.kind is VerdictKind.INVALID
    assert verdict.text == "throttled; compiled" and verdict.advice
    assert verdict.ratio is verdict.low is verdict.high is None


def test_no_baseline_says_why(tmp_path: Path) -> None:
    (empty,) = judge_runs(make_runs(1.0), BaselineStore(tmp_path), "")
    assert empty.kind is VerdictKind.NO_BASELINE and "no baselines of gaudi2" in empty.text
    assert "--refresh-baselines" in advice(empty) and empty.ratio is None

    baselines = store(tmp_path, make_runs(1.0, cpu="EPYC 7763"))
    (other_host,) = judge_runs(make_runs(1.0), baselines, "")
    assert other_host.kind is VerdictKind.NO_BASELINE
    assert "incomparable" in other_host.text and "EPYC 7763" in other_host.text

    (later,) = judge_runs(make_runs(1.0, version="1.20.0"), baselines, "")
    assert later.kind is VerdictKind.NO_BASELINE and "later versions" in later.text


@pytest.mark.parametrize("level", [1.0, 1.3])
def test_runs_that_never_became_steady_are_inconclusive(tmp_path: Path, level: float) -> None:
    runs = [*make_runs(level, count=4), make_run(level, steady=False)]
    (verdict,) = judge_runs(runs, store(tmp_path, make_runs(1.0)), "")
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert "never became steady (limit)" in reason(verdict) and "--warm-up-limit" in advice(verdict)
    assert verdict.ratio == pytest.approx(level, rel=0.02), "what was seen is reported all the same"


def test_a_published_number_is_held_against(tmp_path: Path) -> None:
    run = make_run(1.0)
    case = CaseBaseline(
        case=msgspec.structs.replace(run.case, weights="hub"),
        published=Published(latency_s=0.5, source="a page", address="https://example.org", published_on="2023-03-28"),
    )
    write(tmp_path, Baseline(device=run.device, stack=run.stack, cases=[case]))
    (verdict,) = judge_runs(make_runs(1.0), BaselineStore(tmp_path), "")
    assert verdict.kind is VerdictKind.REGRESSED
    assert verdict.baseline_median_s == 0.5 and verdict.ratio == pytest.approx(2.0, rel=0.02)


def test_a_malformed_baseline_is_a_mistake_that_names_the_file(tmp_path: Path) -> None:
    baselines = store(tmp_path, make_runs(1.0))
    path = tmp_path / "gaudi2" / "synapse-1.22.0.json"
    path.write_text(path.read_text().replace('"cases"', '"case"'))
    with pytest.raises(UserError, match=r"synapse-1\.22\.0\.json"):
        judge_runs(make_runs(1.0), baselines, "")


def test_a_refresh_is_judged_by_the_level_that_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    case = make_run().case
    both = store(tmp_path / "both", make_runs(1.0, version="1.22.0"), make_runs(0.8, version="1.21.0"))

    def kinds(runs: list[Run]) -> dict[Case, VerdictKind]:
        return {case: judged.latency.kind for case, judged in refresh_verdicts(runs, both).items()}

    same, slower = make_runs(1.0, version="1.22.0"), make_runs(1.3, version="1.22.0")
    assert judge_runs(same, both, "")[0].kind is VerdictKind.REGRESSED, "against the earlier version"
    assert kinds(same) == {case: VerdictKind.UNCHANGED}
    assert kinds(slower) == {case: VerdictKind.REGRESSED}
    new = make_runs(1.0, version="1.23.0")
    assert kinds(new) == {case: VerdictKind.UNCHANGED}, "the newest earlier one, 1.22.0"
    assert kinds([*same[:2], *new[:2]]) == {}, "of several stacks"


def test_what_gates_beside_the_latency_is_not_rebased_in_silence(tmp_path: Path) -> None:
    stored, more = noisy_runs(5, seed="stored"), noisy_runs(5, seed="now", memory=1_500_000_000)
    baselines, case = store(tmp_path, stored), stored[0].case
    shown = refresh_verdicts(more, baselines)
    assert [regressions(shown[case].worse), regressions(shown[case].noted)] == ["", "peak memory 50.0 % more"]
    (noted,) = plan_refresh(baselines, Refresh(more, judged=shown)).changes
    assert noted.written and "peak memory 50.0 % more (it does not gate)" in level_change(noted)

    gated = refresh_verdicts(more, baselines, Rules(gates=frozenset({"memory"})))
    assert gated[case].latency.kind is VerdictKind.UNCHANGED
    (refused,) = plan_refresh(baselines, Refresh(more, judged=gated)).refused
    assert 'refused: peak memory 50.0 % more: give the reason with --accept-regression "..."' in level_change(refused)

    plan = plan_refresh(baselines, Refresh(more, accept_regression="a larger cache", judged=gated))
    assert apply(plan).refused == ()
    (entry,) = baselines.read("gaudi2", stored[0].stack.name).cases
    assert entry.accepted_regressions[-1].reason == "a larger cache (peak memory 50.0 % more)"
