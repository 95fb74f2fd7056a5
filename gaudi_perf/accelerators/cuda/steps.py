"""What ``graphs`` captures for a token on a GPU; docs/cuda.md says why there are several."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from gaudi_perf.vocabulary.errors import UserError

STEP = "GAUDI_PERF_CUDA_STEP"
"""The environment variable that chooses among ``STEPS``."""


@dataclass(frozen=True)
class StepKind:
    """What is captured for a token: our own step (``generation.fused_decode``; with the KV cache), or transformers'.

    ``compiled``: by torch.compile, with these options; None for not.
    """

    fused: bool
    compiled: Mapping[str, bool] | None


STEPS: Mapping[str, StepKind] = {
    "transformers": StepKind(fused=False, compiled=None),
    "transformers-compiled": StepKind(fused=False, compiled={}),
    "fused-decode": StepKind(fused=True, compiled=None),
    # Matrix-vector products become Triton kernels, fused with what is around them. They reach the bandwidth of the
    # memory with coordinate descent tuning only (torch/_inductor/decomposition.py, mm).
    "fused-decode-compiled": StepKind(
        fused=True, compiled={"coordinate_descent_tuning": True, "coordinate_descent_check_all_directions": True}
    ),
}
DEFAULT_STEP = "fused-decode-compiled"


def step_name() -> str:
    """Which of ``STEPS`` is captured.
    Raises UserError if the environment variable names none.
    """
    chosen = os.environ.get(STEP) or DEFAULT_STEP
    if chosen not in STEPS:
        raise UserError(f"{STEP}={chosen}: set it to one of {', '.join(STEPS)}, or not at all ({DEFAULT_STEP})")
    return chosen
