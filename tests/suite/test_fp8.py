"""FP8 on the emulated Gaudi, through neural-compressor-pt: measured once, then taken from the cache."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gaudi_perf.accelerators.hpu.fp8 import digest
from tests.suite.conftest import Suite
from tests.suite.test_gaudi import runs_of

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("optimum", "neural_compressor")),
        reason="needs gaudi-perf[hpu,fp8], and Python 3.11",
    ),
]


def test_measured_once_then_quantized(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second session quantizes by what the first left, which was changed meanwhile."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = ["-k", "bloomz560m-1x-graphs", "--accelerator", "emulated-gaudi2", "--workload", "new=12,dtype=fp8"]
    fingerprints = []
    for _ in range(2):
        outcome = suite(*asked, "--rounds", "3", "--benchmark-disable", "--runs", "1")
        runs = list(runs_of(outcome).values())
        assert sorted(run.case.id for run in runs) == [
            "bloomz560m-1x-graphs-kvcache-fp8-n12",
            "bloomz560m-1x-graphs-nocache-fp8-n12",
        ]
        for run in runs:
            assert run.measurement.problems == [], outcome.output
            assert "distance of FP8 from bfloat16: 0.1" in " ".join(run.measurement.notes)
            assert run.stack.components["neural-compressor-pt"] and run.stack.settings["fp8-configuration"]
        (measured,) = (tmp_path / "cache" / "gaudi-perf" / "fp8").iterdir()
        assert measured.name.startswith("bloomz560m-") and measured.parent.stat().st_mode & 0o077 == 0
        documents = sorted(measured.glob("*.json"))
        fingerprints.append({run.stack.settings["fp8-measurement"] for run in runs})
        assert fingerprints[-1] == {digest([document.read_text() for document in documents])}
        for document in documents:
            document.write_text(document.read_text() + "\n")
    assert documents and fingerprints[0] != fingerprints[1]
