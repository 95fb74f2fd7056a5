"""Reference completions with real weights, played through with small ones; the number of the prompt's tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datasets.weights import small_weights

ROOT = Path(__file__).parents[2]
INPUTS = ["a quantum effect", "the rise of cheap small satellites", "it was"]


def run(test: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", f"perf_tests/{test}", "-p", "no:cacheprovider", "-rs", *more]
    environment = {**os.environ, "CXX": "no-such-compiler"}  # graphs are left out where they cannot be compiled
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_without_weights_it_is_skipped_with_the_reason() -> None:
    done = run("test_completions.py")
    assert done.returncode == 0 and "needs the weights of bigscience/bloomz" in done.stdout


@pytest.mark.slow
def test_completions_are_the_references_as_far_as_rounding_allows(tmp_path: Path) -> None:
    weights = small_weights(tmp_path / "weights", prompt_tokens=7)
    right, near = near_tie(weights)
    references = tmp_path / "references.json"
    arguments = ["--weights", str(weights), "--scale", "standin", "--reference-completions", str(references)]
    arguments += ["--devices", "1", "--dtype", "float32"]

    def outcome(outputs: list[str]) -> tuple[int, str]:
        pairs = [{"input": one, "output": other} for one, other in zip(INPUTS, outputs, strict=True)]
        references.write_text(json.dumps({"source": "a test", "completions": pairs}))
        done = run("test_completions.py", *arguments)
        return done.returncode, " ".join(done.stdout.split())

    status, output = outcome([right[0], near, right[2]])
    assert status == 0, output
    assert "reference completion 2 differs by rounding: step 1 of 50: token" in output, output
    assert output.count("reference completion") == 1, output

    words = right[2].split(" ")
    words[9] = next(word for word in ("cheap", "small", "rise") if word != words[9])
    status, output = outcome([right[0], near, " ".join(words)])
    assert status == 1, output
    assert "WRONG OUTPUT: against reference completion 3, step 8 of 50: token" in output, output
    assert "rounding allows" in output and f" here, '{words[9]} " in output, output
    assert "against reference completion 1" not in output and "against reference completion 2" not in output


def near_tie(weights: Path) -> tuple[list[str], str]:
    """Change weights so that words are generated, and another word is as likely as the second prompt's first one.

    Returns:
        What the model makes of each input, by transformers alone; and of the second with that other word.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = AutoModelForCausalLM.from_pretrained(weights)
    vocabulary = sorted(tokenizer.get_vocab().items())
    spaced = [number for word, number in vocabulary if word.startswith("Ġ") and len(word) > 2]
    rows = model.get_input_embeddings().weight.data
    words = torch.zeros_like(rows)
    words[spaced] = rows[spaced]
    rows.copy_(words)

    def texts() -> list[list[int]]:
        outputs = []
        for text in INPUTS:
            ids = tokenizer(text, return_tensors="pt").input_ids
            more = {"max_new_tokens": 50, "min_new_tokens": 50, "do_sample": False, "pad_token_id": 3}
            outputs.append(model.generate(ids, attention_mask=torch.ones_like(ids), **more)[0].tolist())
        return outputs

    first = texts()[1][len(tokenizer(INPUTS[1]).input_ids)]
    other = next(number for number in spaced if all(number not in ids for ids in texts()))
    rows[other] = rows[first] * (1 - 1e-6)
    model.save_pretrained(weights, safe_serialization=True)
    right = [tokenizer.decode(ids) for ids in texts()]
    return right, right[1].replace(tokenizer.decode(first), tokenizer.decode(other), 1)


@pytest.mark.slow
def test_a_tokenizer_that_makes_another_number_of_tokens_stops_the_run(tmp_path: Path) -> None:
    weights = small_weights(tmp_path / "weights", prompt_tokens=6)
    done = run(
        "test_latency.py", "-k", "bloomz7b-1x-eager-kvcache", "--weights", str(weights), "--scale", "standin",
        f"--results-dir={tmp_path / 'r'}", f"--baselines-dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 1
    assert "makes 6 tokens of the prompt, and BLOOM's makes 7" in " ".join(done.stdout.split()), done.stdout
