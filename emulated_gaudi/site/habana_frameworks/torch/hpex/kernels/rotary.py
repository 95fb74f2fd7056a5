"""Rotary position embeddings: the helpers and the function that models call, over torch.ops.hpu."""

import enum

import torch


class RotaryPosEmbeddingMode(enum.Enum):
    BLOCKWISE = 0
    PAIRWISE = 1


def _of_one_type(x, cos, sin):
    """float32 if one of them is, else the type of x."""
    dtype = torch.float32 if torch.float32 in (x.dtype, cos.dtype, sin.dtype) else x.dtype
    return x.to(dtype), sin.to(dtype), cos.to(dtype)


def _embed(x, cos, sin, position_ids=None, offset=0, mode=RotaryPosEmbeddingMode.BLOCKWISE):
    return torch.ops.hpu.rotary_pos_embedding(*_of_one_type(x, cos, sin), position_ids, offset, mode.value)


def _gradient(grad, cos, sin, position_ids=None, offset=0, mode=RotaryPosEmbeddingMode.BLOCKWISE):
    return torch.ops.hpu.rotary_pos_embedding_backward(
        *_of_one_type(grad, cos, sin), position_ids, offset, mode.value
    )


def apply_rotary_pos_emb(p, *args):
    """With cos and sin (and position_ids, offset, mode), or with a cache that holds both."""
    return RotaryPosEmbeddingHelperV3.apply(p, *args) if len(args) == 1 else _embed(p, *args)


class RotaryPosEmbeddingHelperV1(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p, cos, sin, offset):
        ctx.save_for_backward(cos, sin)
        ctx.offset = offset
        return _embed(p, cos, sin, None, offset)

    @staticmethod
    def backward(ctx, grad):
        return _gradient(grad, *ctx.saved_tensors, None, ctx.offset), None, None, None


class RotaryPosEmbeddingHelperV2(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p, cos, sin, position_ids):
        ctx.save_for_backward(cos, sin, position_ids)
        return _embed(p, cos, sin, position_ids)

    @staticmethod
    def backward(ctx, grad):
        return _gradient(grad, *ctx.saved_tensors), None, None, None


def _halves(p, rope_cache):
    """The part that is turned, the part that is not, and cos and sin for it; p is (length, batch, heads, dimension)."""
    turned = rope_cache.shape[-2] * 2
    cache = rope_cache[: p.shape[0]].reshape(p.shape[0], -1, 1, turned // 2, 2)
    cos, sin = (cache[..., i].repeat_interleave(2, dim=-1).to(p.dtype) for i in range(2))
    return p[..., :turned], p[..., turned:], cos, sin


class RotaryPosEmbeddingHelperV3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p, rope_cache):
        ctx.save_for_backward(rope_cache)
        part, rest, cos, sin = _halves(p, rope_cache)
        return torch.cat((_embed(part, cos, sin, None, 0, RotaryPosEmbeddingMode.PAIRWISE), rest), dim=-1)

    @staticmethod
    def backward(ctx, grad):
        part, rest, cos, sin = _halves(grad, *ctx.saved_tensors)
        return torch.cat((_gradient(part, cos, sin, None, 0, RotaryPosEmbeddingMode.PAIRWISE), rest), dim=-1), None
