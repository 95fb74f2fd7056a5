"""Wrong tokens are found, never judged, never stored; differences of rounding are noted."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from tests.suite.conftest import Outcome, Scripted, Suite
from tests.suite.test_gaudi import runs_of

QUICK = ["--new-tokens", "24", "--rounds", "3", "--warm-up-limit", "200"]
GAUDI = ["--accelerator", "emulated-gaudi2"]

needs_compiler = pytest.mark.skipif(bool(CpuAccelerator().cannot_run(True, 1)), reason="graphs need a compiler")
needs_gaudi = pytest.mark.skipif(
    importlib.util.find_spec("optimum") is None or bool(CpuAccelerator().cannot_run(True, 1)),
    reason="the emulated Gaudi needs gaudi-perf[hpu] and a compiler",
)
CPU, EMULATED = (
    pytest.param([], marks=needs_compiler, id="cpu"),
    pytest.param(GAUDI, marks=[needs_gaudi, pytest.mark.emulation], id="gaudi"),
)


def wrong(kind: str, *when: str) -> dict[str, Any]:
    return {"wrong": {"kind": kind, "when": list(when)}}


def wrong_cases(outcome: Outcome) -> set[str]:
    return {
        case
        for case, run in runs_of(outcome).items()
        if any("WRONG OUTPUT" in problem for problem in run.measurement.problems)
    }


@pytest.mark.parametrize("accelerator", [CPU, EMULATED])
@pytest.mark.parametrize(
    ("kind", "when", "others"),
    [
        pytest.param("alibi", ["graphs", "nocache"], "nocache", marks=pytest.mark.slow),
        pytest.param("stale", ["eager", "kvcache"], "eager", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_kernel_is_found_in_its_variant_alone(
    suite: Suite, accelerator: list[str], kind: str, when: list[str], others: str
) -> None:
    found = {"-".join(["bloomz7b", "1x", *when])}
    cases = ["-k", f"bloomz7b-1x and {others}", "--benchmark-disable", *QUICK, *accelerator]
    outcome = suite(*cases, "--refresh-baselines", "--runs", "1", injected=wrong(kind, *when))
    assert wrong_cases(outcome) == found, outcome.output
    assert outcome.status == 1
    assert {case for case, verdict in outcome.verdicts().items() if verdict == "INVALID"} == found
    assert "WRONG OUTPUT: against one pass over the same tokens, at step" in outcome.output
    (stored,) = cases_in(suite)
    assert stored["case"]["configuration"]["graphs"] is stored["case"]["configuration"]["kv_cache"] is False, (
        "the right one alone"
    )
    forget_headers(suite)


@pytest.mark.parametrize("accelerator", [CPU, EMULATED])
@pytest.mark.slow
def test_what_only_another_configuration_shows_makes_no_baseline(suite: Suite, accelerator: list[str]) -> None:
    injected = {"wrong": {"kind": "slopes", "when": ["eager", "kvcache"], "everywhere": True}}
    cases = ["-k", "bloomz7b-1x and eager", "--benchmark-disable", *QUICK, *accelerator]
    outcome = suite(*cases, "--refresh-baselines", "--runs", "1", injected=injected)
    (found,) = wrong_cases(outcome)
    (other,) = {"bloomz7b-1x-eager-kvcache", "bloomz7b-1x-eager-nocache"} - {found}
    assert outcome.verdicts()[found] == "INVALID" and outcome.status == 1
    (problem,) = runs_of(outcome)[found].measurement.problems
    assert problem.startswith(f"WRONG OUTPUT: against {other}-n24, at step") and problem.endswith(
        "one of the two is wrong"
    )
    assert f"the outputs of {found}-n24 differ from its own" in outcome.output
    assert cases_in(suite) == []


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="several devices need gaudi-perf[hpu]")
@pytest.mark.parametrize(
    ("fault", "devices", "accelerator"),
    [
        pytest.param({"rank": 1}, "2", GAUDI, id="one rank", marks=needs_gaudi),
        pytest.param({"everywhere": True}, "1,2", [], id="all ranks"),
    ],
)
@pytest.mark.ranks
def test_a_forgotten_all_reduce_is_found(
    suite: Suite, fault: dict[str, Any], devices: str, accelerator: list[str]
) -> None:
    injected = {"wrong": {"kind": "all-reduce", "when": ["eager"], **fault}}
    cases = ["-k", "bloomz7b and eager-kvcache", "--devices", devices, "--benchmark-disable", "--warm-up-limit", "2"]
    outcome = suite(*cases, *QUICK, *accelerator, injected=injected)
    assert wrong_cases(outcome) == {"bloomz7b-2x-eager-kvcache"}, outcome.output
    assert outcome.verdicts().pop("bloomz7b-2x-eager-kvcache") == "INVALID" and outcome.status == 1
    assert outcome.verdicts().get("bloomz7b-1x-eager-kvcache", "NO BASELINE") == "NO BASELINE"
    (run,) = [run for case, run in runs_of(outcome).items() if "2x" in case]
    told_so = "WRONG OUTPUT: at step 1 the logits of rank 1 are"
    assert any(told_so in problem for problem in run.measurement.problems), run.measurement.problems


@pytest.mark.parametrize(
    ("when", "wrong", "stored"),
    [
        (["graphs", "nocache"], {"graphs-nocache"}, {"eager-nocache", "eager-kvcache"}),
        # The first one, which the others are held against.
        (["graphs", "kvcache"], {"graphs-nocache", "eager-kvcache", "eager-nocache"}, set()),
        # The first one and one that agrees with it.
        (["kvcache"], {"graphs-nocache", "eager-nocache"}, set()),
    ],
)
def test_no_wrong_output_becomes_a_baseline_whichever_case_has_it(
    suite: Suite, scripted: Scripted, when: list[str], wrong: set[str], stored: set[str]
) -> None:
    cases = ["-k", "bloomz7b-1x", "--benchmark-disable", "--rounds", "3", "--new-tokens", "8"]
    injected = scripted(outputs=[{"when": when, "shift": 3}])
    outcome = suite(*cases, "--refresh-baselines", "--runs", "1", injected=injected)
    assert outcome.status == 1 and len(outcome.verdicts()) == 4, outcome.output
    found = {case for case, verdict in outcome.verdicts().items() if verdict == "INVALID"}
    assert found == wrong_cases(outcome) == {f"bloomz7b-1x-{words}" for words in wrong}, outcome.output
    outvoted = when == ["graphs", "kvcache"]
    assert ("bloomz7b-1x-graphs-kvcache-n8: likely WRONG OUTPUT here" in outcome.output) is outvoted, outcome.output
    kept = [entry["case"]["configuration"] for entry in cases_in(suite)]
    words = {("graphs" if one["graphs"] else "eager", "kvcache" if one["kv_cache"] else "nocache") for one in kept}
    assert {"-".join(pair) for pair in words} == stored, outcome.output


@needs_compiler
@pytest.mark.slow
def test_rounding_is_noted_and_fails_nothing(suite: Suite) -> None:
    """All of the 100 tokens: compiled code is rounded elsewhere, and now and then that shows in a single step."""
    quick = ["--benchmark-disable", "--rounds", "3", "--warm-up-limit", "200", "--runs", "1"]
    outcome = suite("-k", "bloomz7b-1x and kvcache", *quick)
    assert outcome.status == 0, outcome.output
    runs = runs_of(outcome)
    assert len(runs) == 2
    for run in runs.values():
        measurement = run.measurement
        assert measurement.problems == []
        assert measurement.trace is not None and measurement.trace.sample == []
        assert [ids[0] for ids in measurement.trace.likeliest] == measurement.token_ids
    forget_headers(suite)


def test_tokens_that_are_not_the_baseline_s_are_invalid_and_replace_nothing(suite: Suite, scripted: Scripted) -> None:
    case = ["-k", "bloomz7b-1x-eager-kvcache", "--benchmark-disable", *QUICK, "--runs", "1"]
    injected = scripted(outputs=[])
    assert suite(*case, "--refresh-baselines", injected=injected).status == 0
    (path,) = suite.baselines.glob("*/*.json")
    document = json.loads(path.read_text())
    (entry,) = document["cases"]
    right = list(entry["token_ids"])
    entry["token_ids"][5] = (entry["token_ids"][5] + 1) % 2048
    path.write_text(json.dumps(document))
    outcome = suite(*case, injected=injected)
    assert outcome.verdicts() == {"bloomz7b-1x-eager-kvcache": "INVALID"}
    assert outcome.status == 1
    assert "against the tokens of" in outcome.output and "step 6 of 24" in outcome.output
    before = path.read_bytes()
    refused = suite(*case, "--refresh-baselines", injected=injected)
    assert refused.status == 1 and path.read_bytes() == before
    assert "take token_ids of this case out" in refused.output, refused.output
    entry["token_ids"] = []
    path.write_text(json.dumps(document))
    accept = ["--refresh-baselines", "--accept-regression", "the stored tokens were wrong"]
    accepted = suite(*case, *accept, injected=injected)
    assert accepted.status == 0, accepted.output
    assert cases_in(suite)[0]["token_ids"] == right


def forget_headers(suite: Suite) -> None:
    """Remove precompiled headers, which PyTorch keeps there for other processes."""
    for headers in suite.temporary.glob("torchinductor_*"):
        shutil.rmtree(headers)


def cases_in(suite: Suite) -> list[dict[str, Any]]:
    found: list[Path] = list(suite.baselines.glob("*/*.json"))
    return [case for path in found for case in json.loads(path.read_text())["cases"]]
