from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from gaudi_perf.protocol import GroupSpec, Weights


@pytest.fixture(scope="session", autouse=True)
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the controller sets for a worker; these tests are the worker, for the whole session."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("inductor"))
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Calling it has torch.compile trace, guard and count as always, but make no kernels: g++ takes ten seconds."""
    import torch

    compile_ = torch.compile

    def traced(step: Any, *, options: Any = None, **more: Any) -> Any:
        return compile_(step, backend="eager", **more)

    return lambda: monkeypatch.setattr(torch, "compile", traced)


@pytest.fixture
def spec() -> GroupSpec:
    return GroupSpec(
        engine="cpu", model="bloomz560m", devices=1, scale="standin", dtype="float32", weights=Weights(kind="dummy")
    )
