"""FusedSDPA by torch's own scaled dot product attention. The other kernels are absent."""

import torch

from habana_frameworks.torch._device import NotEmulatedError


class FusedSDPA:
    @staticmethod
    def apply(
        query,
        key,
        value,
        attn_mask=None,
        dropout_p=0.0,
        is_causal=False,
        scale=None,
        softmax_mode="None",
        recompute=None,
        valid_sequence_lengths=None,
        padding_side="left",
    ):
        if valid_sequence_lengths is not None:
            raise NotEmulatedError("FusedSDPA with valid_sequence_lengths")
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale
        )
