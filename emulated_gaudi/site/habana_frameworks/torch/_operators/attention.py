"""Scaled dot product attention with what its gradient needs, computed in float32.

Queries may have more heads than keys: q is (batch, groups, heads a group, length, dimension) then, k and v have 1 in
the third place.
"""

import torch

from .fp8 import to_fp8
from .registry import operator

_Q_K_V = "Tensor q, Tensor k, Tensor v, "
_END = "str softmax_mode, Tensor? valid_seq_len, str seq_padding_type)"


def _masked_scores(q, k, mask, scale, is_causal, valid_seq_len, padding):
    scores = (q.float() @ k.float().transpose(-1, -2)) * scale
    targets, sources = scores.shape[-2:]
    if is_causal:
        scores = scores.masked_fill(~torch.ones(targets, sources, dtype=torch.bool).tril(), -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.float()
    if valid_seq_len is not None:
        place = torch.arange(sources)
        length = valid_seq_len.reshape(-1, *[1] * (scores.dim() - 1))
        valid = place < length if padding == "right" else place >= sources - length
        scores = scores.masked_fill(~valid, -torch.inf)
    return scores


def _probabilities(scores):
    """The softmax; 0 where a query may see nothing."""
    return torch.nan_to_num(torch.softmax(scores, dim=-1), nan=0.0)


def _keep(like, p, generator=None):
    return torch.rand(like.shape, generator=generator) >= p


def _weighted(probabilities, v, keep, p):
    kept = probabilities if keep is None else probabilities * keep / (1 - p)
    return (kept @ v.float()).to(v.dtype)


def _gradients(grad, q, k, v, probabilities, keep, p, scale):
    grad, wide = grad.float(), probabilities.float()
    drop = 1.0 if keep is None else keep / (1 - p)
    grad_p = (grad @ v.float().transpose(-1, -2)) * drop
    grad_s = wide * (grad_p - (grad_p * wide).sum(-1, keepdim=True)) * scale
    grads = (grad_s @ k.float(), grad_s.transpose(-1, -2) @ q.float(), (wide * drop).transpose(-1, -2) @ grad)
    return tuple(g.sum_to_size(t.shape).to(t.dtype) for g, t in zip(grads, (q, k, v), strict=True))


@operator(
    f"sdpa_fwd({_Q_K_V}Tensor? attention_mask, float p, float scale, bool is_causal, {_END} -> (Tensor, Tensor, Tensor)"
)
def forward(q, k, v, mask, p, scale, is_causal, softmax_mode, valid_seq_len, padding):
    """The result, the probabilities before dropout, and which of them were kept."""
    probabilities = _probabilities(_masked_scores(q, k, mask, scale, is_causal, valid_seq_len, padding))
    keep = _keep(probabilities, p) if p > 0 else None
    kept = torch.empty(0, dtype=torch.int8) if keep is None else keep.to(torch.int8)
    return _weighted(probabilities, v, keep, p), probabilities.to(q.dtype), kept


@operator(
    f"sdpa_bwd(Tensor grad, {_Q_K_V}Tensor P, Tensor? dm, bool is_causal, float p, float scale, Tensor fwd_out)"
    " -> (Tensor, Tensor, Tensor)"
)
def backward(grad, q, k, v, probabilities, dm, is_causal, p, scale, fwd_out):
    return _gradients(grad, q, k, v, probabilities, dm if p > 0 else None, p, scale)


@operator(
    f"sdpa_recomp_fwd({_Q_K_V}Tensor? attention_mask, float p, float scale, bool is_causal, bool requires_backward,"
    f" {_END} -> (Tensor, Tensor, Tensor, Tensor)"
)
def forward_to_recompute(
    q, k, v, mask, p, scale, is_causal, requires_backward, softmax_mode, valid_seq_len, padding
):
    """The result, the largest score of each query, 1 / the sum of its exponentials, and the seed of the dropout."""
    scores = _masked_scores(q, k, mask, scale, is_causal, valid_seq_len, padding)
    seed = torch.randint(2**31 - 1, (1,), dtype=torch.int32) if p > 0 else torch.zeros(1, dtype=torch.int32)
    out = _weighted(_probabilities(scores), v, _drawn_with(seed, scores, p), p)
    if not requires_backward:
        return out, *(torch.empty(0, dtype=q.dtype) for _ in range(2)), seed
    largest = scores.amax(-1, keepdim=True)
    return out, largest.to(q.dtype), (1 / (scores - largest).exp().sum(-1, keepdim=True)), seed


def _drawn_with(seed, like, p):
    return _keep(like, p, torch.Generator().manual_seed(int(seed))) if p > 0 else None


@operator(
    f"sdpa_recomp_bwd(Tensor grad, {_Q_K_V}Tensor? attention_mask, Tensor m, Tensor linv, Tensor? seed, bool is_causal,"
    " float p, float scale, str softmax_mode, Tensor fwd_out) -> (Tensor, Tensor, Tensor)"
)
def backward_recomputed(grad, q, k, v, mask, m, linv, seed, is_causal, p, scale, softmax_mode, fwd_out):
    scores = _masked_scores(q, k, mask, scale, is_causal, None, "left")
    return _gradients(grad, q, k, v, _probabilities(scores), _drawn_with(seed, scores, p), p, scale)



def _fp8_schema(overload, scale):
    scales = " ".join(f"{scale} {name}," for name in "d_scale_q d_scale_k d_scale_v q_scale_s q_scale_o d_scale_s".split())
    return (
        f"fp8_sdpa_recomp_fwd{overload}({_Q_K_V}Tensor? attention_mask, float p, float scale, bool is_causal,"
        f" bool requires_backward, str softmax_mode, {scales} bool is_amax_s, bool is_amax_o, Tensor? valid_seq_len,"
        " str seq_padding_type) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
    )


@operator(_fp8_schema("", "Tensor?"), _fp8_schema(".scalar", "float"))
def forward_fp8(
    q, k, v, mask, p, scale, is_causal, requires_backward, softmax_mode, d_scale_q, d_scale_k, d_scale_v, q_scale_s,
    q_scale_o, d_scale_s, is_amax_s, is_amax_o, valid_seq_len, padding,
):  # fmt: skip
    """For inference: FP8 inputs times d_scale; probabilities and result rounded to FP8 where they have a q_scale."""
    if requires_backward or p > 0:
        raise RuntimeError("FP8 attention with gradients or dropout is not emulated")
    q, k, v = (
        t.float() if s is None else t.float() * s for t, s in ((q, d_scale_q), (k, d_scale_k), (v, d_scale_v))
    )
    probabilities = _probabilities(_masked_scores(q, k, mask, scale, is_causal, valid_seq_len, padding))
    nothing = torch.empty(0)
    amax_s = probabilities.amax() if is_amax_s else nothing
    if q_scale_s is not None:
        probabilities = to_fp8(probabilities * q_scale_s, torch.float8_e4m3fn).float()
    if d_scale_s is not None:
        probabilities = probabilities * d_scale_s
    out = probabilities @ v
    amax_o = out.abs().amax() if is_amax_o else nothing
    out = out.to(torch.bfloat16) if q_scale_o is None else to_fp8(out * q_scale_o, torch.float8_e4m3fn)
    return out, nothing, nothing.clone(), torch.zeros(1, dtype=torch.int32), amax_s, amax_o
