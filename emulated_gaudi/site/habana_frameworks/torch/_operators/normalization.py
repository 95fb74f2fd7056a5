"""Root mean square normalization over the last dimension, computed in float32."""

import torch

from .registry import operator


@operator(
    "rms_norm(Tensor data_in, Tensor gamma, float epsilon) -> (Tensor, Tensor)",
    "rms_norm_fast(Tensor data_in, Tensor gamma, float epsilon) -> (Tensor, Tensor)",
)
def rms_norm(data_in, gamma, epsilon):
    """The result and 1 / rms; float32 where the two types differ."""
    dtype = data_in.dtype if data_in.dtype == gamma.dtype else torch.float32
    wide = data_in.float()
    inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return (wide * inverse * gamma.float()).to(dtype), inverse.to(dtype)


@operator(
    "rms_norm_backward(Tensor grad_in, Tensor data_in, Tensor gamma, Tensor inverse_rms, bool use_stages, int bwd_mode)"
    " -> (Tensor, Tensor)",
    "rms_norm_fast_backward(Tensor grad_in, Tensor data_in, Tensor gamma, Tensor inverse_rms, bool use_stages,"
    " int bwd_mode) -> (Tensor, Tensor)",
)
def rms_norm_backward(grad_in, data_in, gamma, inverse_rms, use_stages, bwd_mode):
    grad, inverse = grad_in.float(), inverse_rms.float()
    normal = data_in.float() * inverse
    scaled = grad * gamma.float()
    grad_data = inverse * (scaled - normal * (scaled * normal).mean(-1, keepdim=True))
    return grad_data.to(data_in.dtype), (grad * normal).flatten(0, -2).sum(0).to(gamma.dtype)
