"""The noise estimate, from the stored history."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gaudi_perf.judging import CaseJudge, NoiseHistory, Rules, evidence_against_baselines
from gaudi_perf.judging.noise import FEWEST_SESSIONS, NEWEST_SESSIONS, NoiseEstimate, estimated_from
from gaudi_perf.reports.wording import learned_noise, reason
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.statistics.sequential import StoppingPlan
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline, Published
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict, VerdictKind
from tests.judging.factories import judge_runs
from tests.stores.factories import make_run


def session_of(index: int) -> str:
    return f"202601{1 + index // 24:02d}T{index % 24:02d}0000.000000Z-{index:08x}"


def sessions(count: int, spread: float, *, runs: int = 2, first: int = 0, seed: int = 1, **fields: object) -> list[Run]:
    """Runs of the same code in sessions that lie so far apart; runs by a tenth of it."""
    dice = random.Random(seed)
    made = []
    for index in range(first, first + count):
        luck, session = dice.gauss(0, spread), session_of(index)
        for number in range(runs):
            level = math.exp(luck + dice.gauss(0, spread / 10))
            made.append(
                make_run(
                    [level * math.exp(dice.gauss(0, 0.001)) for _ in range(5)],
                    session=session,
                    run_id=f"{session}-{number:08x}",
                    started_at=f"2026-01-{1 + index // 24:02d}T{index % 24:02d}:{number:02d}:00Z",
                    **fields,  # type: ignore[arg-type]
                )
            )
    return made


def learned(history: Sequence[Run], run: Run, without: Sequence[str] = ()) -> NoiseEstimate | None:
    found = NoiseHistory(lambda: list(history))
    return found.estimate(run.comparability, run.stack, without, probes=False)


def stored(directory: Path, *entries: tuple[Run, CaseBaseline]) -> BaselineStore:
    store = BaselineStore(directory)
    for run, case in entries:
        store.write(Baseline(device=run.device, stack=run.stack, cases=[case]))
    return store


def published(run: Run, latency: float) -> CaseBaseline:
    number = Published(latency_s=latency, source="a page", address="https://example.org", published_on="2023-03-28")
    return CaseBaseline(case=run.case, published=number)


def test_how_far_sessions_lie_apart_is_learned() -> None:
    candidate = make_run(session="candidate")
    quiet, restless = (learned(sessions(30, spread), candidate) for spread in (0.003, 0.04))
    assert quiet is not None and restless is not None
    assert quiet.prior.session < 0.01 < 0.02 < restless.prior.session
    assert (restless.runs, restless.sessions) == (60, 30)


def test_it_takes_sessions_of_the_same_case_device_host_and_workload() -> None:
    candidate = make_run(session="candidate")
    few, enough = (learned(sessions(FEWEST_SESSIONS - lack, 0.01, runs=9), candidate) for lack in (1, 0))
    assert few is not None and few.document is None and enough is not None and enough.document is not None
    slow = few.prior.slow_sessions
    assert few.prior == replace(NoisePrior(), slow_sessions=slow, slow_known=9), "too few for anything else"
    for other in ({"cpu": "EPYC"}, {"graphs": False}, {"device": "gaudi3"}, {"new_tokens": 8}, {"steady": False}):
        assert learned(sessions(30, 0.01, **other), candidate) is None  # type: ignore[arg-type]
    assert learned(sessions(30, 0.01, problems=["throttled"]), candidate) is None
    assert learned([], candidate) is None


def test_levels_of_different_stacks_are_no_noise() -> None:
    candidate = make_run(session="candidate", version="1.24.0")
    faster = [
        msgspec.structs.replace(
            run,
            measurement=msgspec.structs.replace(
                run.measurement, latencies_s=[0.5 * latency for latency in run.measurement.latencies_s]
            ),
        )
        for run in sessions(12, 0.01, first=40, version="1.23.0")
    ]
    found = learned([*sessions(20, 0.01, version="1.22.0"), *faster], candidate)
    assert found is not None and found.sessions == 20 and found.prior.session < 0.03
    own = learned([*sessions(12, 0.04, version="1.24.0"), *faster], candidate)
    assert own is not None and own.prior.session > 0.015, "its own stack goes before another with as many sessions"


def test_what_the_probes_explain_is_no_noise_where_there_are_probes() -> None:
    rng = np.random.default_rng(3)
    samples = []
    for index in range(20):
        luck = rng.normal(0, 0.05)
        for _ in range(3):
            probes = np.exp(luck + rng.normal(0, 0.002, 5))
            samples.append(RunSample(np.exp(0.8 * luck + rng.normal(0, 0.003, 5)), probes, str(index)))
    blind, seeing = (estimated_from(samples, probes=probes) for probes in (False, True))
    assert blind is not None and seeing is not None
    assert seeing.prior.session < 0.01 < 0.025 < blind.prior.session
    without = [*samples[:-1], RunSample(samples[-1].rounds, None, samples[-1].session)]
    assert estimated_from(without, probes=True) == estimated_from(without, probes=False), "one run has none"


def test_only_the_newest_sessions_count() -> None:
    candidate = make_run(session="candidate")
    history = [*sessions(40, 0.2), *sessions(NEWEST_SESSIONS, 0.005, first=40)]
    found = learned(history, candidate)
    assert found is not None and found.sessions == NEWEST_SESSIONS and found.prior.session < 0.015
    assert found == learned(history[::-1], candidate), "in whatever order it is read"


def test_how_many_sessions_are_slow_is_learned_from_all_stacks() -> None:
    """And from all sessions: the newest thirty, which say how far sessions lie apart, are too few for it."""
    candidate = make_run(session="candidate", version="1.24.0")

    def share(known: int) -> float:
        found = learned([*sessions(known, 0.005), *sessions(1, 0.005, first=99, version="1.23.0")], candidate)
        assert found is not None
        return found.prior.slow_sessions

    shares = [share(known) for known in (1, 5, 11, NEWEST_SESSIONS + 10)]
    assert NoisePrior.slow_sessions > shares[0] > shares[1] > shares[2] > shares[3] > 0
    assert shares[3] == pytest.approx(6 / 241)


def test_what_is_compared_teaches_nothing(tmp_path: Path) -> None:
    history = sessions(12, 0.02)
    baseline, candidate = history[:4], sessions(1, 0.02, first=12)
    store = stored(tmp_path, (baseline[0], CaseBaseline.of(baseline)))
    known = NoiseHistory(lambda: [*history, *candidate], store)
    (reference,) = evidence_against_baselines(candidate, store, "", known).references
    assert reference.noise is not None and reference.noise.sessions == 10
    fewer = NoiseHistory(lambda: [*history[2:], *candidate], store)
    (reference,) = evidence_against_baselines(candidate, store, "", fewer).references
    assert reference.noise is not None, "the baseline's sessions are not among them"
    fewer = NoiseHistory(lambda: [*history[6:], *candidate], store)
    (reference,) = evidence_against_baselines(candidate, store, "", fewer).references
    assert reference.noise is not None and reference.noise.document is None, "nine sessions are left"


@pytest.mark.parametrize("plan", [None, StoppingPlan(first=2, most=5)])
@pytest.mark.parametrize("single", [True, False])
def test_a_machine_whose_sessions_differ_raises_no_alarm(
    tmp_path: Path, plan: StoppingPlan | None, single: bool
) -> None:
    """20 % is much for sessions that lie 1 % apart, and little for those that lie 7 % apart."""
    candidate = sessions(1, 0.0, runs=5, first=99)
    level = 1 / 1.2
    before = make_run(level, session="20251231T000000.000000Z-00000001", version="1.21.0")
    entry = published(before, level) if single else CaseBaseline.of([before, make_run(level * 1.001, version="1.21.0")])
    store = stored(tmp_path, (before, entry))

    def verdict(history: NoiseHistory | None) -> Verdict:
        evidence = evidence_against_baselines(candidate, store, "", history)
        return CaseJudge(Rules(), plan).judge(evidence).verdicts[0]

    unknown = verdict(None)
    assert unknown.kind == VerdictKind.REGRESSED and unknown.learned_noise is None
    known = verdict(NoiseHistory(lambda: list(sessions(30, 0.07))))
    assert known.kind == VerdictKind.INCONCLUSIVE, known.reason
    assert known.learned_noise is not None
    assert (known.learned_noise.runs, known.learned_noise.sessions) == (60, 30)
    assert 0.04 < known.learned_noise.session < 0.09
    assert "estimated from 60 runs of 30 sessions" in reason(known)
    assert decode(encode(known), Verdict, "x") == known
    session = Session(
        session_id="s",
        started_at="2026-02-01T00:00:00Z",
        ended_at="2026-02-01T00:00:00Z",
        cases=[CaseReport(case=before.case, verdicts=[known]), CaseReport(case=before.case, verdicts=[unknown])],
    )
    told = learned_noise(session)
    assert told.startswith("night-to-night variation: ")
    assert told.endswith(" %, estimated from 30 sessions; assumed for 1 of 2 comparisons")
    assert learned_noise(msgspec.structs.replace(session, cases=session.cases[1:])) == ""


def test_other_metrics_have_noise_of_their_own(tmp_path: Path) -> None:
    before, candidate = sessions(1, 0.0), sessions(1, 0.0, first=99)
    store = stored(tmp_path, (before[0], CaseBaseline.of(before)))
    history = NoiseHistory(lambda: list(sessions(30, 0.05, first=10)))
    judged = CaseJudge(Rules()).judge(evidence_against_baselines(candidate, store, "", history))
    assert judged.verdicts[0].learned_noise is not None and judged.others
    assert all(other.learned_noise is None and "learned" not in reason(other) for other in judged.others)


def test_a_directory_teaches_and_so_do_baselines(tmp_path: Path) -> None:
    history, candidate = sessions(12, 0.02), make_run(session="candidate")
    results, empty = ResultsStore(tmp_path / "results"), stored(tmp_path / "none")
    for run in history:
        results.write_run(run)

    def usual(results: Path, baselines: BaselineStore) -> NoiseEstimate | None:
        found = NoiseHistory.of(results, baselines)
        return found.estimate(candidate.comparability, candidate.stack, probes=False)

    found = usual(results.directory, empty)
    assert found is not None and found.sessions == 12
    baselines = stored(tmp_path / "baselines", (history[0], CaseBaseline.of(history)))
    again = usual(tmp_path / "nowhere", baselines)
    assert again is not None and (again.runs, again.sessions) == (24, 12)
    assert usual(results.directory, baselines) == found, "a run that is in both counts once"


def test_bad_history_teaches_nothing_and_stops_nothing(tmp_path: Path) -> None:
    history = sessions(11, 0.02)
    results = ResultsStore(tmp_path / "results")
    paths = [results.write_run(run) for run in history]
    paths[0].write_bytes(b"{torn")
    (results.directory / ".history-index").write_bytes(b"\x00")
    baseline, candidate = sessions(1, 0.0, first=50), sessions(1, 0.0, first=60)
    store = stored(tmp_path / "baselines", (baseline[0], CaseBaseline.of(baseline)))
    broken = tmp_path / "baselines" / "gaudi2" / "synapse-1.0.0.json"
    broken.write_text("[]")
    (verdict,) = judge_runs(candidate, store, "1.22.0", history=NoiseHistory.of(results.directory, store))
    assert verdict.learned_noise is not None
    assert (verdict.learned_noise.runs, verdict.learned_noise.sessions) == (21, 11)
    (verdict,) = judge_runs(candidate, store, "1.22.0", history=NoiseHistory.of(broken, store))
    assert verdict.learned_noise is None
