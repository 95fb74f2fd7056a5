"""The Gaudi engine end to end, on the emulated Gaudi."""

from __future__ import annotations

import json
from pathlib import Path

from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.measurement import Run
from tests.suite.conftest import Outcome, Suite

GAUDI = ["--accelerator", "emulated-gaudi2", "-k", "bloomz7b-1x", "--benchmark-disable"]
QUICK = ["--new-tokens", "12", "--rounds", "6", "--time-budget", "5"]


def runs_of(outcome: Outcome) -> dict[str, Run]:
    documents = [path for path in outcome.results.glob("*/*.json") if path.name != "session.json"]
    runs = [decode(path.read_bytes(), Run, str(path)) for path in documents]
    return {run.case.id: run for run in runs}


def faults(place: Path, *told: dict[str, object]) -> list[str]:
    path = place / "faults.json"
    path.write_text(json.dumps({"faults": list(told)}))
    return ["--emulated-faults", str(path)]


def test_all_variants_give_the_tokens_of_the_cpu_and_valid_rounds(suite: Suite) -> None:
    gaudi = suite(*GAUDI, *QUICK, "--dtype", "float32")
    runs = runs_of(gaudi)
    assert len(runs) == 4, gaudi.output
    plain = suite("-k", "bloomz7b-1x-eager-kvcache", "--benchmark-disable", *QUICK, "--dtype", "float32")
    (expected,) = runs_of(plain).values()
    for run in runs.values():
        assert run.measurement.token_ids == expected.measurement.token_ids
        assert run.measurement.problems == []
        assert run.device.name == "emulated-gaudi2"
        assert run.stack.name == "synapse-1.24.0"
        assert run.stack.settings["lazy-mode"] == "true"
    graphs = runs["bloomz7b-1x-graphs-kvcache"].measurement
    assert graphs.graph_compilation is not None and graphs.graph_compilation.count
    assert graphs.peak_memory_bytes is not None and graphs.peak_memory_bytes > 0


def test_a_release_that_is_slower_with_graphs_fails_the_graphs_cases(suite: Suite) -> None:
    stored = suite(*GAUDI, *QUICK, "--emulated-synapse", "1.23.0", "--refresh-baselines", "--runs", "3")
    assert stored.status == 0, stored.output
    assert [path.relative_to(suite.baselines) for path in suite.baselines.glob("*/*.json")] == [
        Path("emulated-gaudi2/synapse-1.23.0.json")
    ]
    # Five times as slow, so that no other load of this machine can hide it in so few and short rounds.
    slower = faults(suite.place, {"when": {"graphs": True}, "slower": 4.0})
    newer = suite(*GAUDI, *QUICK, "--emulated-synapse", "1.24.0", "--runs", "3", *slower)
    regressed = {case for case, verdict in newer.verdicts().items() if verdict == "REGRESSED"}
    assert regressed == {"bloomz7b-1x-graphs-kvcache", "bloomz7b-1x-graphs-nocache"}, newer.output
    assert newer.status == 1
    assert "synapse-1.23.0" in newer.output


def test_told_faults_are_told_and_other_cases_go_on(suite: Suite) -> None:
    told = faults(
        suite.place,
        {"when": {"graphs": True, "kvcache": True}, "compilations": 1, "after_operations": 1, "repeat": True},
        {"when": {"graphs": True, "kvcache": False}, "throttle": "thermal"},
        {"when": {"graphs": False, "kvcache": True}, "crash": True, "after_operations": 2000},
    )
    outcome = suite(*GAUDI, *QUICK, *told, "--round-deadline", "60")
    assert outcome.verdicts().get("bloomz7b-1x-graphs-kvcache") == "INVALID", outcome.output
    assert "graph compilations inside the timed rounds" in outcome.output
    assert outcome.verdicts().get("bloomz7b-1x-graphs-nocache") == "INVALID", outcome.output
    assert "throttled (thermal)" in outcome.output
    assert "was killed by SIGABRT" in outcome.output
    assert outcome.verdicts().get("bloomz7b-1x-eager-nocache") == "NO BASELINE", outcome.output


def test_a_hung_device_is_found_by_the_round_deadline(suite: Suite) -> None:
    told = faults(suite.place, {"when": {"kvcache": True}, "hang": True, "after_operations": 2000})
    case = ["--accelerator", "emulated-gaudi2", "-k", "bloomz7b-1x-eager-kvcache"]
    outcome = suite(*case, *QUICK, *told, "--round-deadline", "8")
    assert "gave no answer in warm-up" in outcome.output or "gave no answer in rounds" in outcome.output
    assert outcome.status == 1


def test_an_impossible_release_is_refused_in_a_sentence(suite: Suite) -> None:
    outcome = suite(*GAUDI, "--emulated-synapse", "newest")
    assert outcome.status == 1
    assert "A SynapseAI release is three numbers" in outcome.output
    assert "Traceback" not in outcome.output
