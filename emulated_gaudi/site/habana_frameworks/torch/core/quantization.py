"""Preparing a model for inference. Constants are counted as in the bridge; nothing is compiled that would use them."""

import torch
from torch.fx.experimental.optimization import fuse

from habana_frameworks.torch import hpu
from habana_frameworks.torch.utils.internal import is_lazy

_marked = [0]


def _mark_params_as_const(model=None, only_scales=False, console_prints=False):
    names = [] if model is None else [name for name in model.state_dict() if not only_scales or "scale" in name]
    _marked[0] += len(names)


def _check_params_as_const(model=None, only_scales=False):
    """Nothing to check: what is marked is only counted."""


def _get_marked_const_count():
    return _marked[0]


def hpu_set_inference_env(model=None):
    """Inference mode; of a model on the host in eval mode, convolutions and batch normalizations become one.

    Returns:
        The fused model, or the model itself with a line on standard output where it cannot be fused.
    """
    hpu.enable_inference_mode()
    hpu.enable_matmul3d_2d_reshape()
    if model is None:
        return None
    if model.training:
        print("Fusion is only applicable for eval mode")
        return model
    if any(not parameter.is_cpu for parameter in model.parameters()):
        print("This fusion pass is to be run for model on CPU, Skipping!")
        return model
    try:
        return fuse(model)
    except torch.fx.proxy.TraceError:
        print("Can not apply conv+bn fusion on a  non-fx traceable module, Skipping!")
        return model


def hpu_inference_initialize(
    model=None, mark_only_scales_as_const=False, optimizer=None, args=None, mark_scales=True, mark_non_scales=True
):
    """Inference mode; in lazy mode the model's parameters, or its scales, are constants from now on."""
    hpu.enable_inference_mode()
    hpu.enable_matmul3d_2d_reshape()
    if model is not None and is_lazy():
        _mark_params_as_const(model, only_scales=mark_only_scales_as_const or not mark_non_scales)


def hpu_teardown_inference_env():
    hpu.disable_inference_mode()
    hpu.disable_matmul3d_2d_reshape()


def hpu_initialize(model=None, mark_only_scales_as_const=False, optimizer=None, args=None):
    hpu_inference_initialize(model, mark_only_scales_as_const, optimizer, args)


hpu_set_env, hpu_reset_env = hpu_set_inference_env, hpu_teardown_inference_env
