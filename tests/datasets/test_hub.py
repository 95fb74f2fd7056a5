"""Datasets of the hub, found or not, online, offline and out of reach: cached ones are read, the rest is a sentence."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ranks.hub import serving

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="datasets is not installed: the extra gaudi-perf[datasets]"
)

PROGRAM = """
import sys, time
from gaudi_perf.generation.dataset import PromptSource
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.errors import UserError
time.sleep = lambda seconds: None  # the library waits before it asks a hub again that it cannot reach
group = GroupSpec(engine="cpu", model="bloomz7b", devices=1, scale="standin", dtype="bfloat16")
for asked in sys.argv[1:]:
    source, column, split = asked.split(":")
    try:
        prompts = PromptSource(Dataset(source=source, column=column, split=split), 16, group)
        print(f"{prompts.column} of {prompts.split}: {prompts.prompts(0, 9)[1]}")
    except UserError as error:
        print(f"error: {error}")
"""
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there."""


def read(place: Path, *asked: str, **variables: str) -> list[str]:
    """What comes of reading some SOURCE:COLUMN:SPLIT, a line for each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *asked],
        env={**kept, "HF_HOME": str(place / "home"), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == len(asked), done.stdout + done.stderr
    return lines


@pytest.mark.slow
def test_a_dataset_is_read_of_the_hub_and_then_of_the_cache(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "README.md").write_text("---\nlicense: mit\n---\n")
    (files / "train.csv").write_text("number,headline,text\n1,one,more of one\n2,two,more of two\n")
    (files / "test.csv").write_text("number,headline,text\n3,three,more of three\n")
    asked = ["some/news::", "some/news:text:train", "some/news:content:", "some/news::valid"]
    with serving("some/news", files, "datasets") as hub:
        first, second, column, split, unknown = read(tmp_path, *asked, "some/other::", HF_ENDPOINT=hub.address)
    assert hub.downloads["train.csv"] == hub.downloads["test.csv"] == 1
    assert first == "headline of test: ['three']"
    assert second == "text of train: ['more of one', 'more of two']"
    assert column.startswith("error: --column content: some/news has in its split 'test' number (int64), headline (")
    assert split == "error: --split valid: some/news has the splits train, test"
    assert unknown.startswith("error: --dataset some/other: cannot be read (") and "is its name right" in unknown

    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        *cached, missing = read(tmp_path, *asked, "some/other::", HF_ENDPOINT=NOWHERE, **{variable: "1"})
        assert cached == [first, second, column, split]
        assert "the cache does not hold it, and HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set" in missing

    cached_one, missing = read(tmp_path, asked[0], "some/other::", HF_ENDPOINT=NOWHERE)
    assert cached_one == first
    assert missing.startswith("error: --dataset some/other: cannot be read (") and "the hub is out of reach" in missing
