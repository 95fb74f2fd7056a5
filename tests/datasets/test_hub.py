"""Datasets of the hub where the hub cannot be reached: one sentence that names the option."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="datasets is not installed: the extra gaudi-perf[datasets]"
)

PROGRAM = """
import sys
from gaudi_perf.runtime.generation.dataset import PromptSource
from gaudi_perf.runtime.protocol import GroupSpec, Weights
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.errors import UserError
group = GroupSpec(
    engine="cpu", model="bloomz7b", devices=1, scale="standin", dtype="bfloat16", weights=Weights(kind="dummy")
)
try:
    PromptSource(Dataset(source="somebody/no-such-dataset"), 16, group, sys.argv[1])
except UserError as error:
    print(f"told: {error}")
"""


def test_a_hub_that_is_offline_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "cache")],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("told: --dataset somebody/no-such-dataset: cannot be read ("), (
        done.stdout + done.stderr
    )
    assert done.stdout.count("\n") == 1 and "is it a dataset of the hub, and the hub reachable?" in done.stdout
