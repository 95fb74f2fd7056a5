"""Reference completions with real weights, played through with small ones; the number of the prompt's tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="datasets is not installed: the extra gaudi-perf[datasets]")

from tests.datasets.weights import small_weights

ROOT = Path(__file__).parents[2]
INPUTS = ["a quantum effect", "the rise of cheap small satellites", "it was"]


def run(test: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", f"perf_tests/{test}", "-p", "no:cacheprovider", "-rs", *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_without_weights_it_is_skipped_with_the_reason() -> None:
    done = run("test_completions.py")
    assert done.returncode == 0 and "needs the weights of bigscience/bloomz" in done.stdout


def test_completions_must_be_the_references(tmp_path: Path) -> None:
    weights = small_weights(tmp_path / "weights", prompt_tokens=7)
    references = tmp_path / "references.json"
    arguments = ["--weights", str(weights), "--scale", "standin", "--reference-completions", str(references)]
    arguments += ["--devices", "1", "--dtype", "float32"]

    def write(outputs: list[str]) -> None:
        pairs = [{"input": one, "output": other} for one, other in zip(INPUTS, outputs, strict=True)]
        references.write_text(json.dumps({"source": "a test", "completions": pairs}))

    write(["?"] * 3)
    wrong = run("test_completions.py", *arguments, "-vv")
    assert wrong.returncode == 1, wrong.stdout
    out = tmp_path / "out.jsonl"
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(INPUTS) + "\n")
    command = [sys.executable, "-m", "gaudi_perf.cli", "complete", str(prompts), "--output", str(out), "--eager"]
    command += ["--weights", str(weights), "--scale", "standin", "--dtype", "float32", "--model", "bloomz176b"]
    command += ["--results-dir", str(tmp_path / "results"), "--baselines-dir", str(tmp_path / "baselines")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (batch,) = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    assert batch["inputs"] == INPUTS and all(o.startswith(i) for i, o in zip(INPUTS, batch["outputs"], strict=True))
    assert "stand for tokens" not in done.stdout
    write(batch["outputs"])
    right = run("test_completions.py", *arguments)
    assert right.returncode == 0, right.stdout


def test_a_tokenizer_that_makes_another_number_of_tokens_stops_the_run(tmp_path: Path) -> None:
    weights = small_weights(tmp_path / "weights", prompt_tokens=6)
    done = run(
        "test_latency.py", "-k", "bloomz7b-1x-eager-kvcache", "--weights", str(weights), "--scale", "standin",
        f"--results-dir={tmp_path / 'r'}", f"--baselines-dir={tmp_path / 'b'}",
    )  # fmt: skip
    assert done.returncode == 1
    assert "makes 6 tokens of the prompt, and BLOOM's makes 7" in " ".join(done.stdout.split()), done.stdout
