from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from gaudi_perf.generation.hub import fetched
from gaudi_perf.vocabulary.errors import UserError
try:
    fetched("bigscience/bloomz-560m")
except UserError as error:
    print(f"refused: {error}")
"""


@pytest.mark.parametrize(
    "variables",
    [
        {"HF_HUB_OFFLINE": "1"},
        {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_ETAG_TIMEOUT": "2"},  # discard: nobody listens
    ],
)
def test_a_hub_that_is_not_reachable_is_one_sentence(tmp_path: Path, variables: dict[str, str]) -> None:
    pytest.importorskip("huggingface_hub")
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = {**kept, "HF_HOME": str(tmp_path), **variables}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("refused: --weights hub: bigscience/bloomz-560m cannot be fetched ("), done.stderr
    assert done.stdout.count("\n") == 1 and "--weights dummy needs none" in done.stdout
