"""Step markers. mark_step ends a recipe; operations run at once, so nothing else waits for it."""

from habana_frameworks.torch import _device
from habana_frameworks.torch.hpu.metrics.metrics import _notice_step
from habana_frameworks.torch.utils.internal import is_lazy, lazy_only

_closures = []


@lazy_only
def add_step_closure(closure, args=()):
    _closures.append((closure, args))


def _run_step_closures():
    due, _closures[:] = list(_closures), []
    for closure, args in due:
        closure(*args)


def _mark_step_if_lazy(device_str=""):
    if is_lazy():
        mark_step(device_str)


@lazy_only
def mark_step(device_str="", sync=False):
    _device.apply_faults()
    _device.native.step()
    if sync:
        _device.synchronize()
    _notice_step()
    _run_step_closures()


@lazy_only
def iter_mark_step(device_str=""):
    mark_step(device_str)
