"""Convolutions, all of them, and their gradients: torch leaves a device like this one two operators."""

import torch

from .registry import kernel


@kernel("convolution_overrideable")
def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    return torch.ops.aten.convolution(
        input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    )


@kernel("convolution_backward_overrideable")
def gradients(grad, input, weight, stride, padding, dilation, transposed, output_padding, groups, output_mask):
    biases = [weight.shape[1] * groups if transposed else weight.shape[0]]
    return torch.ops.aten.convolution_backward(
        *(grad, input, weight, biases, stride, padding, dilation, transposed, output_padding, groups, output_mask)
    )
