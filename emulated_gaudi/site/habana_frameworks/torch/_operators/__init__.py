"""The bridge's own operators (torch.ops.hpu) and those of torch for which the CPU has no kernel."""

from habana_frameworks.torch._operators import attention, convolution, experts, fp8, moving, normalization, rotary

__all__ = ["attention", "convolution", "experts", "fp8", "moving", "normalization", "rotary"]
