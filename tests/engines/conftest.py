from __future__ import annotations

import os

import pytest

from gaudi_perf.runtime.protocol import GroupSpec, Weights


@pytest.fixture(scope="session", autouse=True)
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the controller sets for a worker; these tests are the worker, for the whole session."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("inductor"))
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def spec() -> GroupSpec:
    return GroupSpec(
        engine="cpu", model="bloomz560m", devices=1, scale="standin", dtype="float32", weights=Weights(kind="dummy")
    )
