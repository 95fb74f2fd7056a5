"""The Gaudi engine end to end, on the emulated Gaudi."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from gaudi_perf.stores.results import read_runs
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.run import Run
from tests.suite.conftest import Outcome, Suite

GAUDI = ["--accelerator", "emulated-gaudi2", "-k", "bloomz7b-1x", "--benchmark-disable"]
QUICK = ["--new-tokens", "12", "--rounds", "6", "--time-budget", "5"]


def runs_of(outcome: Outcome) -> dict[str, Run]:
    documents = [path for path in outcome.results.glob("*/*.json") if path.name != "session.json"]
    runs = [decode(path.read_bytes(), Run, str(path)) for path in documents]
    return {run.case.configuration.id: run for run in runs}


def faults(place: Path, *faults_set: dict[str, object]) -> list[str]:
    path = place / "faults.json"
    path.write_text(json.dumps({"faults": list(faults_set)}))
    return ["--emulated-faults", str(path)]


def case(model: str, graphs: bool, kvcache: bool) -> dict[str, object]:
    return {"model": model, "graphs": graphs, "kvcache": kvcache}


@pytest.mark.emulation
def test_all_variants_give_the_tokens_of_the_cpu_and_valid_rounds(suite: Suite) -> None:
    # A variable of the user's that graphs cannot work with: the controller's goes before it.
    gaudi = suite(*GAUDI, *QUICK, "--dtype", "float32", PT_HPU_LAZY_MODE="0")
    runs = runs_of(gaudi)
    assert len(runs) == 4, gaudi.output
    plain = suite("-k", "bloomz7b-1x-eager-kvcache", "--benchmark-disable", *QUICK, "--dtype", "float32")
    (expected,) = runs_of(plain).values()
    for run in runs.values():
        assert run.measurement.token_ids == expected.measurement.token_ids
        assert run.measurement.problems == []
        assert run.device.name == "emulated-gaudi2"
        assert run.stack.name == "synapse-1.24.0"
        # Variables that the controller sets before the worker imports anything, as they took effect.
        assert run.stack.settings["lazy-mode"] == "true", "what the bridge says, not what the variable is"
        assert run.stack.settings["PT_HPU_ENABLE_LAZY_COLLECTIVES"] == "true"
        telemetry = run.measurement.telemetry
        assert telemetry is not None and telemetry.source == "pyhlml"
        assert {sample.device for sample in telemetry.samples} == {0}
        assert {sample.moment for sample in telemetry.samples} >= {"before", "after"}
        assert telemetry.foreign_processes == [], "the run's own processes are none"
    loads = [run for run in runs.values() if "load" in run.measurement.phases_s]
    assert len(loads) == 1, "imports and weights are paid once for the four cases"
    graphs = runs["bloomz7b-1x-graphs-kvcache"].measurement
    assert graphs.graph_compilation is not None and graphs.graph_compilation.count
    assert graphs.peak_memory_bytes is not None and graphs.peak_memory_bytes > 0


@pytest.mark.emulation
def test_options_in_effect_are_in_cases_and_among_the_settings_of_their_stack(suite: Suite) -> None:
    asked = ["--accelerator", "emulated-gaudi2", "--model", "llama3.1-8b", "--devices", "1", "--benchmark-disable"]
    options = ["--gaudi-options", "trim_logits=no,bucket_size=8,bucket_internal"]
    done = suite(*asked, *options, *QUICK, "-k", "eager")
    runs = runs_of(done)
    assert {name.rpartition("-")[2]: run.case.options for name, run in runs.items()} == {
        "kvcache": "reuse_cache,attn_softmax_bf16,bucket_size=8,bucket_internal",
        "nocache": "attn_softmax_bf16",
    }, done.output
    settings = runs["llama3.1-8b-1x-eager-kvcache"].stack.settings
    assert settings["bucket_size"] == "8" and settings["reuse_cache"] == "true" and "trim_logits" not in settings
    assert all(run.measurement.problems == [] for run in runs.values()), done.output


def test_an_option_that_a_family_does_not_know_is_one_sentence(suite: Suite) -> None:
    refused = suite(*GAUDI, "--gaudi-options", "reuse_cache")
    assert refused.status != 0 and "Traceback" not in refused.output and "in gaudi_options_with" not in refused.output
    assert "bloom: optimum-habana has no reuse_cache for it, but bucket_size" in refused.output


# Operations take 0.5 ms, on a clock that nothing else advances: latencies follow from the number of operations alone.
OPERATIONS = {"operation_microseconds": 500}
DEVICE_CLOCK = {"device_clock": True}
SHORT = ["--new-tokens", "2", "--rounds", "4", "--warm-up-limit", "100", "--runs", "2"]


@pytest.mark.emulation
def test_ten_percent_with_graphs_only_fails_exactly_the_graphs_cases(suite: Suite) -> None:
    def measured(release: str, *arguments: str, cases: str = "bloomz7b-1x", **fault: object) -> Outcome:
        set_faults = faults(suite.place, OPERATIONS, fault)
        emulated = [*GAUDI, "-k", cases, *SHORT, *set_faults, "--emulated-synapse", release]
        return suite(*emulated, *arguments, injected=DEVICE_CLOCK)

    stored = measured("1.23.0", "--refresh-baselines")
    assert stored.status == 0, stored.output
    assert [path.relative_to(suite.baselines) for path in suite.baselines.glob("*/*.json")] == [
        Path("emulated-gaudi2/synapse-1.23.0.json")
    ]
    assert "was validated with" not in " ".join(stored.output.split()), "an emulated one needs no other version"

    newer = measured("1.24.0", when={"graphs": True}, slower=0.10)
    assert newer.status == 1
    assert newer.verdicts() == {
        "bloomz7b-1x-graphs-kvcache": "REGRESSED",
        "bloomz7b-1x-graphs-nocache": "REGRESSED",
        "bloomz7b-1x-eager-kvcache": "UNCHANGED",
        "bloomz7b-1x-eager-nocache": "UNCHANGED",
    }, newer.output
    for case in ("bloomz7b-1x-graphs-kvcache-n2", "bloomz7b-1x-graphs-nocache-n2"):
        assert f"{case}: REGRESSED" in newer.output
    assert newer.output.count("than emulated-gaudi2/synapse-1.23.0") >= 2, newer.output
    assert "synapse-build 695 -> 1007" in newer.output

    noise = measured("1.24.0", "--runs", "1", cases="bloomz7b-1x-eager-kvcache", noise=0.5)
    assert noise.verdicts() == {"bloomz7b-1x-eager-kvcache": "INCONCLUSIVE"}, noise.output


@pytest.mark.emulation
def test_two_releases_side_by_side(suite: Suite) -> None:
    stacks = [
        f'[[stack]]\nname = "{name}"\npython = "{sys.executable}"\n'
        f'environment = {{ GAUDI_PERF_EMULATED_SYNAPSE = "{release}" }}\n'
        for name, release in (("new", "1.24.0"), ("old", "1.23.0"))
    ]
    options = faults(suite.place, OPERATIONS, {"when": {"synapse": "1.24.0", "graphs": True}, "slower": 0.25})
    (suite.place / "stacks.toml").write_text("\n".join(stacks))
    beside = ["--stacks", str(suite.place / "stacks.toml"), "--candidate-stack", "new", "--baseline-stack", "old"]
    outcome = suite(*GAUDI, "-k", "bloomz7b-1x and kvcache", *SHORT, *options, *beside, injected=DEVICE_CLOCK)
    assert outcome.status == 1, outcome.output
    assert outcome.verdicts() == {
        "bloomz7b-1x-graphs-kvcache": "REGRESSED",
        "bloomz7b-1x-eager-kvcache": "UNCHANGED",
    }, outcome.output
    stored = read_runs(outcome.results).runs
    assert {(run.stack_label, run.stack.name) for run in stored} == {
        ("new", "synapse-1.24.0"),
        ("old", "synapse-1.23.0"),
    }
    assert len(stored) == 2 * 2 * 2
    words = " ".join(outcome.output.split())
    assert "side by side: new (synapse-1.24.0) against old (synapse-1.23.0)" in words


@pytest.mark.emulation
def test_set_faults_are_reported_and_other_cases_go_on(suite: Suite) -> None:
    options = faults(
        suite.place,
        {"when": case("bloomz7b", graphs=True, kvcache=True), "compilations": 1, "repeat": True},
        {"when": case("bloomz7b", graphs=True, kvcache=False), "throttle": "thermal"},
        {"when": case("bloomz7b", graphs=False, kvcache=True), "crash": True, "after_operations": 2000},
        {"when": case("bloomz7b", graphs=False, kvcache=False), "foreign_process": "train.py"},
        {"when": case("bloomz176b", graphs=True, kvcache=True), "recipe_cache_misses": 1, "repeat": True},
        {"when": case("bloomz176b", graphs=True, kvcache=False), "cpu_fallbacks": 1, "repeat": True},
        {"when": {"case": "bloomz176b-1x-eager-kvcache-n12"}, "out_of_memory": True, "after_operations": 2000},
    )
    outcome = suite(*GAUDI, "-k", "1x", *QUICK, *options, "--round-deadline", "60")
    assert outcome.status == 1
    assert outcome.verdicts() == {
        "bloomz7b-1x-graphs-kvcache": "INVALID",
        "bloomz7b-1x-graphs-nocache": "INVALID",
        "bloomz7b-1x-eager-nocache": "INVALID",
        "bloomz176b-1x-graphs-kvcache": "INVALID",
        "bloomz176b-1x-graphs-nocache": "INVALID",
        "bloomz176b-1x-eager-nocache": "NO BASELINE",
    }, outcome.output
    reasons = {
        report.case.configuration.id: report.verdicts[0].text for report in outcome.session.cases if report.verdicts
    }
    assert "graph compilations inside the timed rounds" in reasons["bloomz7b-1x-graphs-kvcache"]
    assert "--warm-up-limit" in reasons["bloomz7b-1x-graphs-kvcache"], "the remedy"
    assert "device 0 was throttled (thermal)" in reasons["bloomz7b-1x-graphs-nocache"]
    assert "train.py (process 1) on device 0" in reasons["bloomz7b-1x-eager-nocache"]
    assert "recipe-cache misses inside the timed rounds" in reasons["bloomz176b-1x-graphs-kvcache"]
    assert "fell back to the CPU inside the timed rounds" in reasons["bloomz176b-1x-graphs-nocache"]
    failed = {report.case.configuration.id: report.failed for report in outcome.session.cases if report.failed}
    assert set(failed) == {"bloomz7b-1x-eager-kvcache", "bloomz176b-1x-eager-kvcache"}
    assert "was killed by SIGABRT" in failed["bloomz7b-1x-eager-kvcache"]
    assert "Allocation failed for size" in failed["bloomz176b-1x-eager-kvcache"], "the bridge's own words"


@pytest.mark.emulation
def test_a_hung_device_is_found_by_the_round_deadline(suite: Suite) -> None:
    options = faults(suite.place, {"when": {"kvcache": True}, "hang": True, "after_operations": 2000})
    one = ["--accelerator", "emulated-gaudi2", "-k", "bloomz7b-1x-eager-kvcache"]
    outcome = suite(*one, *QUICK, *options, "--round-deadline", "5")
    assert outcome.status == 1
    found = re.search(r"gave no answer in (warm-up|rounds) within (\d+) s, and was ended", outcome.output)
    assert found is not None, outcome.output
    assert 5 <= int(found[2]) < 300, "the deadline that is set and that of a batch of rounds, not the default of 900 s"


@pytest.mark.emulation
def test_memory_that_does_not_suffice_for_the_model_is_reported_when_it_is_loaded(suite: Suite) -> None:
    options = faults(suite.place, {"when": {"model": "bloomz7b"}, "out_of_memory": True})
    outcome = suite("--accelerator", "emulated-gaudi2", "-k", "bloomz7b-1x-eager-kvcache", *QUICK, *options)
    assert outcome.status == 1
    assert "failed in load: RuntimeError:" in outcome.output and "Allocation failed for size" in outcome.output


@pytest.mark.emulation
def test_a_fault_that_could_never_match_is_refused(suite: Suite) -> None:
    options = faults(suite.place, {"when": {"kv_cache": True}, "crash": True})
    outcome = suite("--accelerator", "emulated-gaudi2", "-k", "bloomz7b-1x-eager-kvcache", *QUICK, *options)
    assert outcome.status == 1
    assert "`when` asks for 'kv_cache'" in outcome.output
    assert "Traceback" not in outcome.output


def test_a_missing_compiler_is_one_sentence(suite: Suite, tmp_path: Path) -> None:
    bare = {"PATH": str(tmp_path / "nothing"), "CXX": "", "EMULATED_GAUDI_CACHE": str(tmp_path / "cache")}
    outcome = suite("--accelerator", "emulated-gaudi2", "-k", "bloomz7b-1x-eager-kvcache", *QUICK, **bare)
    assert outcome.status == 1
    sentence = "The emulated Gaudi has to be compiled once, but there is no C++ compiler (c++, g++ or clang++) on PATH"
    assert f"--accelerator emulated-gaudi2: {sentence}: install one, for instance g++." in outcome.output
    assert "build.py" not in outcome.output, "no trace of frames"


def test_an_impossible_release_is_refused_in_a_sentence(suite: Suite) -> None:
    outcome = suite(*GAUDI, "--emulated-synapse", "newest")
    assert outcome.status == 1
    assert "A SynapseAI release is three numbers" in outcome.output
    assert "Traceback" not in outcome.output
