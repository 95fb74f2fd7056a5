"""FusedSDPA and its FP8 form: the bridge's parameters and answers, computed by torch.ops.hpu."""

import torch

import habana_frameworks.torch.hpu as hpu


def _grouped(q, k):
    return q.dim() == 4 and k.shape[1] not in (1, q.shape[1])


def _group(q, k, v, mask):
    """Splits the heads of queries into groups that share a head of keys and values."""
    groups, heads = k.shape[1], q.shape[1]
    q = q.unflatten(1, (groups, heads // groups))
    if mask is not None:
        mask = mask.unflatten(1, (groups, heads // groups)) if mask.shape[1] == heads else mask.unsqueeze(1)
    return q, k.unsqueeze(2), v.unsqueeze(2), mask


class FusedSDPA(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, softmax_mode="None",
        recompute_mode=None, valid_seq_len=None, seq_padding_type="left", return_dropout_mask=False,
        return_attn_probs=False,
    ):  # fmt: skip
        gradients = q.requires_grad or k.requires_grad or v.requires_grad
        softmax_mode, padding = softmax_mode.lower(), seq_padding_type.lower()
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        recompute = hpu.recompute_sdp_enabled() if recompute_mode is None else recompute_mode
        if return_attn_probs:
            assert not gradients, "return_attn_probs is supported only for inference mode"
            recompute = False
        if recompute:
            assert not return_dropout_mask, "Return_dropout_mask is not supported in recompute mode"
            assert not (gradients and softmax_mode == "fast") or is_causal, (
                "Optimized softmax mode is supported in recompute training mode only in causal(triangular) mask case"
            )
        assert valid_seq_len is None or (is_causal and not gradients and attn_mask is None), (
            "Valid sequence length is supported only in inference with is_causal(triangular) mask case"
        )
        ctx.grouped = _grouped(q, k)
        if ctx.grouped:
            q, k, v, attn_mask = _group(q, k, v, attn_mask)
        ctx.options = (is_causal, dropout_p, scale)
        ctx.recompute, ctx.softmax_mode = recompute, softmax_mode
        common = (q, k, v, attn_mask, dropout_p, scale, is_causal)
        if recompute:
            out, *kept = torch.ops.hpu.sdpa_recomp_fwd(*common, gradients, softmax_mode, valid_seq_len, padding)
            if gradients:
                ctx.save_for_backward(q, k, v, attn_mask, *kept, out)
            return FusedSDPA._answer(ctx, out)
        out, probabilities, mask = torch.ops.hpu.sdpa_fwd(*common, softmax_mode, valid_seq_len, padding)
        if gradients:
            ctx.save_for_backward(q, k, v, probabilities, mask, out)
        answers = [FusedSDPA._answer(ctx, out)]
        if return_attn_probs:
            answers.append(FusedSDPA._answer(ctx, probabilities))
        if return_dropout_mask:
            answers.append(FusedSDPA._answer(ctx, mask) if dropout_p > 0 else mask)
            ctx.mark_non_differentiable(answers[-1])
        return answers[0] if len(answers) == 1 else tuple(answers)

    @staticmethod
    def _answer(ctx, tensor):
        return tensor.flatten(1, 2) if ctx.grouped else tensor

    @staticmethod
    def backward(ctx, grad, *others):
        q, k, v, *kept, out = ctx.saved_tensors
        if ctx.grouped:
            grad = grad.unflatten(1, q.shape[1:3])
        is_causal, p, scale = ctx.options
        if ctx.recompute:
            grads = torch.ops.hpu.sdpa_recomp_bwd(
                grad, q, k, v, *kept, is_causal, p, scale, ctx.softmax_mode, out
            )
        else:
            grads = torch.ops.hpu.sdpa_bwd(grad, q, k, v, *kept, is_causal, p, scale, out)
        return *(FusedSDPA._answer(ctx, g) for g in grads), *[None] * 10


def fp8_fused_sdpa(
    q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, softmax_mode="None", d_scale_q=None,
    d_scale_k=None, d_scale_v=None, q_scale_s=None, q_scale_o=None, d_scale_s=None, is_amax_s=False, is_amax_o=False,
    valid_seq_len=None, seq_padding_type="left", recompute=None,
):  # fmt: skip
    """For inference: the result, and the largest probability and result where they are asked for."""
    gradients = q.requires_grad or k.requires_grad or v.requires_grad
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    grouped = _grouped(q, k)
    if grouped:
        q, k, v, attn_mask = _group(q, k, v, attn_mask)
    out, _, _, _, amax_s, amax_o = torch.ops.hpu.fp8_sdpa_recomp_fwd(
        q, k, v, attn_mask, dropout_p, scale, is_causal, gradients, softmax_mode.lower(), d_scale_q, d_scale_k,
        d_scale_v, q_scale_s, q_scale_o, d_scale_s, is_amax_s, is_amax_o, valid_seq_len, seq_padding_type.lower(),
    )  # fmt: skip
    return out.flatten(1, 2) if grouped else out, amax_s, amax_o
