"""Fused normalizations. FusedClipNorm is for training and not emulated."""

import enum

import torch

from habana_frameworks.torch._device import NotEmulatedError

__all__ = ["FusedClipNorm", "FusedRMSNorm", "RmsNormBwdMode"]


class RmsNormBwdMode(enum.Enum):
    DEFAULT = 0
    STATIC_CASE_WIDTH_PARTITIONING = 1


class FusedRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, data_in, gamma, eps, use_stages=True, bwd_mode=0, fast_math=False):
        operator = torch.ops.hpu.rms_norm_fast if fast_math else torch.ops.hpu.rms_norm
        result, inverse = operator(data_in, gamma, eps)
        ctx.save_for_backward(data_in, gamma, inverse)
        ctx.options = (use_stages, bwd_mode)
        return result

    @staticmethod
    def backward(ctx, grad):
        return *torch.ops.hpu.rms_norm_backward(grad, *ctx.saved_tensors, *ctx.options), None, None, None, None


class FusedClipNorm:
    def __init__(self, parameters, max_norm):
        raise NotEmulatedError("FusedClipNorm")
