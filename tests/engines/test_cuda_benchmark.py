"""What benchmarks/cuda.py makes of measurements; the measurements are made up."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "cuda.py"


@pytest.fixture(scope="module")
def benchmark_() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_cuda", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
        **{"new_tokens": 100, "rounds": 3, "load_s": 9.0, "bandwidth": 3.0e12, "device": "h100-80gb"},
        **{"stack": "cuda-13.0", "components": {"transformers": "4.55.4"}, "settings": {"step": step}},
        **{"results": results, **more},
    }


def test_claims_are_computed_of_what_was_measured(benchmark_: ModuleType) -> None:
    jobs = [
        job("run 1", "lean-compiled", {"eager-kvcache": result(2.4), "graphs-kvcache": result(0.6, [1, 2, 9, 4])}),
        job("step lean", "lean", {"graphs-kvcache": result(0.54)}),
        job("step transformers", "transformers", {"graphs-kvcache": {"failed": "RuntimeError: no"}}),
        {"what": "run 2", "failed": "not done after 420 s", "step": "lean"},
    ]
    assert benchmark_.fastest_step(jobs) == "lean"
    shown = benchmark_.report(jobs, "lean")
    assert "the fastest step is lean: GAUDI_PERF_CUDA_STEP=lean" in shown
    assert "4.44 times as fast as eager-kvcache (asked: 3): yes" in shown
    # 1416.5 GB at 3 TB/s are 472 ms.
    assert "at 87.4 % of the memory's limit of 472.2 ms (asked: 85 %): yes" in shown
    assert "equal up to 2 of 4" in shown and "failed: RuntimeError: no" in shown and "not done after 420 s" in shown
    slow = benchmark_.report(jobs[:1], "lean-compiled")
    assert "at 78.7 %" in slow and "(asked: 85 %): NO" in slow
    assert "host clock over CUDA events, 6 rounds:" in slow


def test_nothing_measured_is_said(benchmark_: ModuleType) -> None:
    shown = benchmark_.report([{"what": "run 1", "failed": "exit status 1: out of memory"}], "lean")
    assert shown == "nothing could be measured: exit status 1: out of memory"


def test_rounds_that_differ_are_told(benchmark_: ModuleType) -> None:
    told = benchmark_.agreement([1, 2, 3, 4], result(1.0, same_tokens=False))
    assert told == "all equal; ROUNDS DIFFER"


def test_jobs_come_in_order_and_within_the_budget(
    benchmark_: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def done(told: dict[str, Any], limit: float) -> dict[str, Any]:
        asked.append(told["what"])
        assert 0 < limit <= 420
        return {**job(told["what"], told["step"], {name: result(1.0) for name in told["variants"]}), "engine": "cpu"}

    monkeypatch.setattr(benchmark_, "done", done)
    command = ["cuda.py", "--engine", "cpu", "--json", str(tmp_path / "numbers.json")]
    monkeypatch.setattr("sys.argv", command)
    benchmark_.main()
    assert asked == ["run 1", "run 2", "run 3", "tokens in float32"]
    assert (tmp_path / "numbers.json").is_file()
    monkeypatch.setattr("sys.argv", [*command, "--budget", "1"])
    benchmark_.main()
    assert len(asked) == 4 and "left out, for lack of time: see --budget" in capsys.readouterr().out
