"""What the lowest PyTorch that is allowed cannot do."""

from __future__ import annotations

import pytest
import torch


def not_on_torch_2_4(why: str) -> pytest.MarkDecorator:
    """Skips a test there."""
    return pytest.mark.skipif(torch.__version__.startswith("2.4."), reason=f"torch 2.4 {why}")


no_scaled_product = not_on_torch_2_4("has no torch._scaled_mm on the CPU")
no_tape = not_on_torch_2_4("cannot record copies in inference mode on the CPU, as the stand-in of a CUDA graph does")
no_window = not_on_torch_2_4("with transformers 4.55 cannot mask the window of several rows")
