"""What benchmarks/cuda.py does with jobs and makes of measurements; the measurements are made up."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DIRECTORY = Path(__file__).parents[2] / "benchmarks"
STORED = {"model": "bloomz7b", "status": 0, "last": "4 passed", "measured": 4, "stored": 4, "files": ["h100/x.json"]}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DIRECTORY))
    spec = importlib.util.spec_from_file_location("benchmark_cuda", DIRECTORY / "cuda.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert str(DIRECTORY) not in sys.path, "torch looks for NVIDIA's package cuda, too"
    return module


@pytest.fixture
def printed(command: ModuleType) -> ModuleType:
    return sys.modules["cuda_report"]


def result(seconds: float, tokens: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "host_s": [seconds, seconds * 1.01, seconds * 0.99],
        "device_s": [seconds * 0.999] * 3,
        "tokens": tokens or [1, 2, 3, 4],
        "same_tokens": True,
        "first_token_s": 0.01,
        "following_token_s": seconds / 100,
        "problems": [],
        **more,
    }


def job(what: str, step: str, results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        **{"what": what, "step": step, "engine": "cuda", "model": "bloomz7b", "scale": "full", "dtype": "bfloat16"},
        **{"new_tokens": 100, "rounds": 3, "load_s": 9.0, "bandwidth": 3.0e12, "device": "h100-80gb", "devices": 1},
        **{"stack": "cuda-13.0", "components": {"transformers": "4.55.4"}, "settings": {"step": step}},
        **{"variants": list(results), "results": results, **more},
    }


def seen(shown: str) -> dict[str, str]:
    """What the last table says of each thing that is asked."""
    table = shown.rpartition("\n\n")[2].splitlines()
    return {line.split("  ")[0].strip(): " ".join(line.split("  ")[1:]).strip() for line in table}


def everything() -> list[dict[str, Any]]:
    four = {"eager-kvcache": 2.4, "eager-nocache": 2.6, "graphs-kvcache": 0.6, "graphs-nocache": 1.2}
    exact = {"model": "bloomz560m", "dtype": "float32"}
    return [
        job("run 1", "fused-decode-compiled", {name: result(seconds) for name, seconds in four.items()}),
        job("step fused-decode", "fused-decode", {"graphs-kvcache": result(0.54, [1, 2, 9, 4])}),
        job("run 2", "fused-decode", {"eager-kvcache": result(2.41), "graphs-kvcache": result(0.541)}),
        job("tokens in float32", "fused-decode", {name: result(0.1) for name in four}, **exact),
        job("2 devices", "fused-decode", {"eager-kvcache": result(3.0), "graphs-kvcache": result(0.3)}, devices=2),
        job("2 in float32", "fused-decode", {"eager-kvcache": result(3.0)}, devices=2, **exact),
    ]


def test_everything_that_is_asked_is_in_the_last_table(printed: ModuleType) -> None:
    assert printed.fastest_step(everything()) == "fused-decode"
    shown = printed.report(everything(), "fused-decode", STORED)
    assert (
        "the fastest step is fused-decode: GAUDI_PERF_CUDA_STEP=fused-decode" in shown and "equal up to 2 of 4" in shown
    )
    table = seen(shown)
    assert len(table) == 14 and all(words.startswith("met") for words in table.values()), table
    assert "4.45 times" in table["graphs-kvcache at least 3 times as fast as eager-kvcache"]
    # 1416.5 GB at 3 TB/s are 472 ms.
    assert "87.4 % of the limit of 472.2 ms" in table["graphs-kvcache at 85 % of the memory's limit or more"]
    assert "differ by 0.19 % at most" in table["run-to-run spread of graphs-kvcache"]
    assert "4 in h100/x.json" in table["baselines of this GPU are stored"]


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        ("graphs-kvcache at least 3 times", lambda jobs: jobs[1]["results"].update({"graphs-kvcache": result(0.9)})),
        ("graphs-kvcache at 85 %", lambda jobs: [each.update(bandwidth=9e12) for each in jobs]),
        (
            "the four variants give the same tokens in float32",
            lambda jobs: jobs[3]["results"].update({"eager-nocache": result(0.1, [1, 2, 3, 5])}),
        ),
        ("no round has a problem", lambda jobs: jobs[0]["results"]["eager-nocache"].update(problems=["throttled"])),
        (
            "host clock and CUDA events agree",
            lambda jobs: [r.update(device_s=[9.0] * 3) for each in jobs for r in each["results"].values()],
        ),
        ("2 GPUs over nccl, bfloat16", lambda jobs: jobs[4]["results"].update({"graphs-kvcache": {"failed": "hung"}})),
        ("2 GPUs give the tokens of one", lambda jobs: jobs[5]["results"]["eager-kvcache"].update(tokens=[9])),
    ],
)
def test_what_was_not_reached_is_not_met(printed: ModuleType, asked: str, change: Any) -> None:
    jobs = everything()
    if asked.startswith("graphs-kvcache at least"):
        jobs = [each for each in jobs if each["what"] not in ("run 1", "run 2")]
        jobs.insert(0, job("run 1", "fused-decode", {"eager-kvcache": result(2.4)}))
    change(jobs)
    (words,) = [
        words for name, words in seen(printed.report(jobs, "fused-decode", STORED)).items() if name.startswith(asked)
    ]
    assert words.startswith("NOT MET")


@pytest.mark.parametrize("change", [{"status": 1}, {"status": None}, {"measured": 0}, {"stored": 3}, {"files": []}])
def test_a_suite_that_fails_or_stores_too_little_is_not_met(printed: ModuleType, change: dict[str, Any]) -> None:
    table = seen(printed.report(everything(), "fused-decode", {**STORED, **change}))
    suite = [table["pytest perf_tests -k bloomz7b"], table["baselines of this GPU are stored"]]
    assert any(words.startswith("NOT MET") for words in suite)


def test_nothing_measured_is_said(printed: ModuleType) -> None:
    failed = {"what": "run 1", "devices": 1, "variants": [], "failed": "exit status 1: out of memory"}
    assert printed.report([failed], "fused-decode", {}) == "nothing could be measured: exit status 1: out of memory"


def test_what_is_missing_is_not_measured(printed: ModuleType) -> None:
    jobs = [
        job("run 1", "fused-decode", {"eager-kvcache": result(2.4), "graphs-kvcache": {"failed": "RuntimeError: no"}})
    ]
    shown = printed.report([*jobs, {**jobs[0], "results": {}, "failed": "not done after 420 s"}], "fused-decode", {})
    assert "failed: RuntimeError: no" in shown and "not done after 420 s" in shown
    table = seen(shown)
    assert sum(words.startswith("not measured") for words in table.values()) == 9
    (whole,) = [words for words in table.values() if words.startswith("NOT MET")]
    assert "failed: run 1, run 1: graphs-kvcache" in whole


def test_rounds_that_differ_are_reported(printed: ModuleType) -> None:
    assert printed.agreement([1, 2, 3, 4], result(1.0, same_tokens=False)) == "all equal; ROUNDS DIFFER"


@pytest.fixture
def run(command: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command with made-up jobs; returns what was asked."""
    asked: list[str] = []

    def done(wanted: dict[str, Any], limit: float) -> dict[str, Any]:
        asked.append(wanted["what"])
        assert 0 < limit <= 420
        return {**job(wanted["what"], wanted["step"], {name: result(1.0) for name in wanted["variants"]}), **wanted}

    monkeypatch.setattr(command, "done", done)
    monkeypatch.setattr(command, "suite", lambda *arguments: asked.append("suite") or STORED)

    def run_(*more: str) -> list[str]:
        asked.clear()
        line = ["cuda.py", "--engine", "cpu", "--small", "bloomz7b", "--json", str(tmp_path / "numbers.json"), *more]
        monkeypatch.setattr(sys, "argv", line)
        command.main()
        return list(asked)

    return run_


def test_jobs_come_in_order_and_within_the_budget(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = ["run 1", "run 2", "run 3", "tokens in float32"]
    assert run() == [*alone, "suite"]
    assert run("--processes", "3", "--suite-budget", "0") == [*alone, "2 devices", "2 in float32"], "32 heads by 2"
    assert "see --suite-budget" in capsys.readouterr().out
    assert run("--budget", "1") == ["suite"]
    assert "left out, for lack of time: see --budget" in capsys.readouterr().out


def test_a_run_that_broke_off_goes_on(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    file = tmp_path / "numbers.json"
    kept = json.loads(file.read_text())
    kept["jobs"][1]["failed"] = "exit status -9: "
    del kept["jobs"][3]["results"]["graphs-nocache"]
    file.write_text(json.dumps(kept))
    assert run("--resume") == ["run 2", "tokens in float32", "suite"]
    assert run() == ["run 1", "run 2", "run 3", "tokens in float32", "suite"]


DIES = """
import json, os, sys, time
sys.path.insert(0, {directory!r})
import cuda_jobs

def engine(job, keep):
    keep(device="h100-80gb", bandwidth=1.0)
    def measure(name):
        if name == "second":
            os.kill(os.getpid(), 9) if {kills} else time.sleep(60)
        return {{"host_s": [1.0]}}
    return measure

cuda_jobs.of_engine = engine
from runpy import run_path
run_path({directory!r} + "/cuda.py", run_name="__main__")
"""


@pytest.mark.parametrize(("kills", "reason"), [(True, "exit status -9"), (False, "not done after 2 s")])
def test_a_gpu_that_fails_midway_loses_nothing_that_was_measured(
    command: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: bool, reason: str
) -> None:
    script = tmp_path / "dies.py"
    script.write_text(DIES.format(directory=str(DIRECTORY), kills=kills))
    monkeypatch.setattr(command, "__file__", str(script))
    asked = {"engine": "cpu", "model": "bloomz7b", "scale": "standin", "dtype": "float32", "devices": 1}
    begin = time.monotonic()
    outcome = command.done(
        {**asked, "step": "fused-decode", "variants": ["first", "second", "third"]}, 2.0 if not kills else 60
    )
    assert outcome["failed"].startswith(reason)
    assert outcome["results"] == {"first": {"host_s": [1.0]}} and outcome["device"] == "h100-80gb"
    assert kills or time.monotonic() - begin < 30
