"""Step markers and initialisation."""

import torch

from habana_frameworks.torch import hpu

from .quantization import (
    hpu_inference_initialize,
    hpu_initialize,
    hpu_reset_env,
    hpu_set_env,
    hpu_set_inference_env,
    hpu_teardown_inference_env,
)
from .step_closure import add_step_closure, iter_mark_step, mark_step
from .torch_overwrites import overwrite_torch_functions

torch._register_device_module("hpu", hpu)
overwrite_torch_functions()
