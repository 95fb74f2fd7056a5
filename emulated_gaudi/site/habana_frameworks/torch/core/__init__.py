"""Step markers and initialisation. mark_step ends a recipe; there is no queue, so nothing else waits for it."""

import torch

from habana_frameworks.torch import _device, hpu
from habana_frameworks.torch.hpu.metrics.metrics import _notice_step
from habana_frameworks.torch.utils.internal import lazy_only

torch._register_device_module("hpu", hpu)

_closures = []


def _run_closures():
    due, _closures[:] = list(_closures), []
    for closure, args in due:
        closure(*args)


@lazy_only
def mark_step(device_str="", sync=False):
    _device.apply_faults()
    _device.native.step()
    if sync:
        _device.synchronize()
    _notice_step()
    _run_closures()


@lazy_only
def iter_mark_step(device_str=""):
    mark_step(device_str)


@lazy_only
def add_step_closure(closure, args=()):
    _closures.append((closure, args))


def hpu_initialize(model=None, optimizer=None, args=None):
    """Nothing to do: in the bridge this marks constants for quantization."""


def hpu_inference_initialize(model=None, mark_only_scales_as_const=False, mark_scales=True, mark_non_scales=True):
    """Nothing to do, as hpu_initialize."""


def hpu_set_env():
    """Nothing to do, as hpu_initialize."""


hpu_reset_env = hpu_set_inference_env = hpu_teardown_inference_env = hpu_set_env
