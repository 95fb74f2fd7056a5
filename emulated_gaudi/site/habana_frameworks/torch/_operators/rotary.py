"""Rotary position embeddings: mode 0 turns the halves of the last dimension, mode 1 neighbouring pairs."""

import torch

from .registry import operator


def _turn(x, pairs, back):
    """The vector at a right angle to x, or at one in the other direction."""
    first, second = (x[..., ::2], x[..., 1::2]) if pairs else x.chunk(2, dim=-1)
    turned = (second, -first) if back else (-second, first)
    return torch.stack(turned, dim=-1).flatten(-2) if pairs else torch.cat(turned, dim=-1)


def _at(table, like, position_ids, offset, pairs):
    if position_ids is not None:
        rows = table.reshape(-1, table.shape[-1]) if table.shape[:-2].numel() == 1 else table
        table = rows[position_ids].unsqueeze(1)  # batch, 1, position, dimension
    if offset and not pairs:
        table = table[..., offset : like.shape[-1] + offset]
    return table


@operator(
    "rotary_pos_embedding(Tensor input, Tensor sin, Tensor cos, Tensor? position_ids, int offset, int mode) -> Tensor"
)
def embed(input, sin, cos, position_ids, offset, mode):
    cos, sin = (_at(table, input, position_ids, offset, mode) for table in (cos, sin))
    return (input * cos + _turn(input, mode, back=False) * sin).to(input.dtype)


@operator(
    "rotary_pos_embedding_backward(Tensor grad_in, Tensor sin, Tensor cos, Tensor? position_ids, int offset, int mode)"
    " -> Tensor"
)
def embed_backward(grad_in, sin, cos, position_ids, offset, mode):
    cos, sin = (_at(table, grad_in, position_ids, offset, mode) for table in (cos, sin))
    return (grad_in * cos + _turn(grad_in * sin, mode, back=True)).to(grad_in.dtype)
