"""The bridge's own operators and kernels, in lazy mode on a Gaudi 2; references are plain torch on the host."""

import habana_frameworks.torch.core as htcore
import habana_frameworks.torch.hpu as hpu
import habana_frameworks.torch.utils.experimental as experimental
import torch
from habana_frameworks.torch.hpex.kernels import (
    FusedSDPA,
    RotaryPosEmbeddingHelperV1,
    RotaryPosEmbeddingHelperV2,
    RotaryPosEmbeddingHelperV3,
    RotaryPosEmbeddingMode,
    apply_rotary_pos_emb,
    fp8_fused_sdpa,
)
from habana_frameworks.torch.hpex.normalization import FusedRMSNorm, RmsNormBwdMode
from helpers import raises

F = torch.nn.functional
F8 = torch.float8_e4m3fn


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def on_device(*tensors, gradients=False):
    return [t.detach().to("hpu").requires_grad_(gradients) for t in tensors]


def close(got, expected, tolerance=1e-5):
    assert got.device.type == "hpu", got.device
    torch.testing.assert_close(got.detach().cpu(), expected.detach(), rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- autocast
def check_autocast_casts_as_the_bridges_lists_say():
    x, w = on_device(random(4, 4), random(4, 4, seed=1))
    with torch.autocast("hpu", dtype=torch.bfloat16):
        for lower in (x @ w, F.linear(x, w), F.softmax(x, -1), x * w, x.mean(), F.layer_norm(x, (4,))):
            assert lower.dtype == torch.bfloat16
        half = x.bfloat16()
        for wide in (
            half.exp(),
            half.log(),
            half / 2,
            half.pow(2),
            half.topk(2).values,
            F.embedding(x.long() * 0, half),
        ):
            assert wide.dtype == torch.float32
        assert (half + x).dtype == torch.float32 and (half + half).dtype == torch.bfloat16
        assert torch.cat([half, x]).dtype == torch.float32
        assert torch.equal((x @ w).cpu(), x.cpu().bfloat16() @ w.cpu().bfloat16())
        assert (x.double() @ w.double()).dtype == torch.float64  # only float, bfloat16 and half are cast
        with torch.autocast("hpu", enabled=False):
            assert (x @ w).dtype == torch.float32
    assert (x @ w).dtype == torch.float32
    assert (x.cpu() @ w.cpu()).dtype == torch.float32


def check_autocast_has_gradients_of_the_parameters_type():
    layer = torch.nn.Linear(4, 2).to("hpu")
    with torch.autocast("hpu", dtype=torch.bfloat16):
        loss = layer(random(3, 4).to("hpu")).float().sum()
    loss.backward()
    assert layer.weight.grad.dtype == torch.float32


# ---------------------------------------------------------------- convolutions
def check_convolutions_and_their_gradients():
    for module, shape in (
        (torch.nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
        (torch.nn.Conv2d(3, 4, 3, dilation=2, bias=False), (1, 3, 8, 8)),
        (torch.nn.Conv3d(1, 2, 2), (1, 1, 4, 4, 4)),
        (torch.nn.ConvTranspose1d(3, 2, 3), (1, 3, 5)),
        (torch.nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), (2, 4, 5, 5)),
    ):
        x = random(*shape).requires_grad_()
        expected = module(x)
        expected.square().sum().backward()
        grads = [x.grad, *(p.grad.clone() for p in module.parameters())]
        module.zero_grad()
        (y,) = on_device(x, gradients=True)
        got = module.to("hpu")(y)
        got.square().sum().backward()
        close(got, expected)
        for a, b in zip([y.grad, *(p.grad for p in module.parameters())], grads, strict=True):
            close(a, b, 1e-4)


def check_a_convolution_in_a_graph():
    with torch.inference_mode():
        module = torch.nn.Conv2d(3, 4, 3)
        a, b = random(1, 3, 8, 8), random(1, 3, 8, 8, seed=1)
        expected = module(b)
        wrapped = hpu.wrap_in_hpu_graph(module.to("hpu"))
        wrapped(a.to("hpu"))
        close(wrapped(b.to("hpu")), expected)


# ---------------------------------------------------------------- attention
def attention(q, k, v, mask=None, causal=False, scale=None):
    """By the formula, in float64; heads of keys are repeated."""
    repeats = q.shape[1] // k.shape[1]
    q, k, v = q.double(), *(t.double().repeat_interleave(repeats, 1) for t in (k, v))
    scores = q @ k.transpose(-1, -2) * (scale or q.shape[-1] ** -0.5)
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -torch.inf)
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1) @ v).float()


def check_attention_with_all_parameters_of_the_bridge():
    q, k, v = (random(2, 4, 5, 8, seed=i) for i in range(3))
    mask = random(2, 1, 5, 5, seed=3)
    device = on_device(q, k, v)
    close(FusedSDPA.apply(*device), attention(q, k, v))
    close(FusedSDPA.apply(*device, mask.to("hpu"), 0.0, False, 0.5), attention(q, k, v, mask, scale=0.5))
    for mode in ("None", "fast"):
        for recompute in (None, True, False):
            close(FusedSDPA.apply(*device, None, 0.0, True, None, mode, recompute), attention(q, k, v, causal=True))
    out, probabilities = FusedSDPA.apply(*device, None, 0.0, False, None, "None", False, None, "left", False, True)
    close(out, attention(q, k, v))
    close(probabilities.sum(-1), torch.ones(2, 4, 5))
    out, kept = FusedSDPA.apply(*device, None, 0.5, False, None, "None", False, None, "left", True, False)
    assert kept.shape == (2, 4, 5, 5) and 0 < kept.float().mean() < 1
    with raises(AssertionError, "Valid sequence length is supported only"):
        FusedSDPA.apply(*device, None, 0.0, False, None, "None", None, torch.tensor([5, 3], device="hpu"))
    with raises(NotImplementedError, "hpu::sdpa_fwd"):
        FusedSDPA.apply(q, k, v)  # on the host


def check_attention_of_sequences_of_several_lengths():
    q, k, v = (random(2, 4, 5, 8, seed=i) for i in range(3))
    device = (*on_device(q, k, v), None, 0.0, True, None, "fast", True, torch.tensor([5, 3], device="hpu"))
    got = FusedSDPA.apply(*device, "right")
    close(got[0], attention(q, k, v, causal=True)[0])
    close(got[1, :, :3], attention(q[1:, :, :3], k[1:, :, :3], v[1:, :, :3], causal=True)[0])
    close(FusedSDPA.apply(*device, "left")[1, :, 2:], attention(*(t[1:, :, 2:] for t in (q, k, v)), causal=True)[0])


def check_attention_with_grouped_queries_and_gradients():
    q, k, v = random(2, 8, 5, 4), random(2, 2, 5, 4, seed=1), random(2, 2, 5, 4, seed=2)
    host = [t.clone().requires_grad_() for t in (q, k, v)]
    expected = attention(*host, causal=True)
    expected.square().sum().backward()
    for recompute in (True, False):
        device = on_device(q, k, v, gradients=True)
        got = FusedSDPA.apply(*device, None, 0.0, True, None, "None", recompute)
        got.square().sum().backward()
        close(got, expected)
        for a, b in zip(device, host, strict=True):
            close(a.grad, b.grad, 1e-4)


def check_the_gradient_of_attention_draws_the_same_dropout():
    torch.manual_seed(3)
    for recompute in (True, False):
        q, k, v = on_device(*(random(1, 2, 6, 4, seed=i) for i in range(3)), gradients=True)
        out = FusedSDPA.apply(q, k, v, None, 0.5, False, None, "None", recompute)
        out.sum().backward()
        # The result is linear in v: its gradient holds the kept probabilities, and they give the result again.
        kept = (v.grad * v.detach()).sum()
        close(kept, out.sum().cpu(), 1e-4)


# ---------------------------------------------------------------- normalization, rotary embeddings, experts
def check_rms_norm_and_its_gradients():
    x, gamma = random(2, 3, 8).requires_grad_(), random(8, seed=1).requires_grad_()
    expected = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-3) * gamma
    expected.square().sum().backward()
    for options in ((), (False, RmsNormBwdMode.STATIC_CASE_WIDTH_PARTITIONING.value, True)):
        y, g = on_device(x, gamma, gradients=True)
        got = FusedRMSNorm.apply(y, g, 1e-3, *options)
        got.square().sum().backward()
        close(got, expected)
        close(y.grad, x.grad, 1e-4)
        close(g.grad, gamma.grad, 1e-4)
    mixed = FusedRMSNorm.apply(*on_device(random(2, 8, dtype=torch.bfloat16), random(8)), 1e-3)
    assert mixed.dtype == torch.float32  # of two types


def turned(x):
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)


def check_rotary_embeddings_and_their_gradients():
    x, angles = random(2, 3, 5, 8), random(7, 4).repeat(1, 2)
    cos, sin = angles.cos(), angles.sin()
    ids = torch.tensor([[0, 1, 2, 3, 4], [2, 3, 4, 5, 6]])
    host = x.clone().requires_grad_()
    expected = host * cos[ids].unsqueeze(1) + turned(host) * sin[ids].unsqueeze(1)
    expected.square().sum().backward()
    (y,) = on_device(x, gradients=True)
    tables = on_device(cos[None, None], sin[None, None])
    got = RotaryPosEmbeddingHelperV2.apply(y, *tables, ids.to("hpu"))
    got.square().sum().backward()
    close(got, expected)
    close(y.grad, host.grad, 1e-4)
    close(apply_rotary_pos_emb(y, *tables, ids.to("hpu"), 0, RotaryPosEmbeddingMode.BLOCKWISE), expected)
    assert apply_rotary_pos_emb(y.bfloat16(), *tables, ids.to("hpu")).dtype == torch.float32
    close(RotaryPosEmbeddingHelperV1.apply(y, *(t[..., :5, :] for t in tables), 0), x * cos[:5] + turned(x) * sin[:5])


def check_rotary_embeddings_of_neighbouring_pairs():
    x, cache = random(5, 2, 3, 8), random(9, 2, 2)  # half of the eight dimensions is turned
    (y,) = on_device(x, gradients=True)
    got = RotaryPosEmbeddingHelperV3.apply(y, cache.to("hpu"))
    got.sum().backward()
    pairs = torch.view_as_complex(x[..., :4].reshape(5, 2, 3, 2, 2))
    angles = torch.view_as_complex(cache[:5])[:, None, None]
    close(got, torch.cat((torch.view_as_real(pairs * angles).flatten(-2), x[..., 4:]), -1))
    assert torch.equal(y.grad[..., 4:].cpu(), torch.ones(5, 2, 3, 4))
    assert torch.equal(apply_rotary_pos_emb(y, cache.to("hpu")).cpu(), got.detach().cpu())


def check_the_mixture_of_experts():
    hidden, scores = random(6, 8), random(6, 4, seed=1).softmax(-1)
    weights, routing = scores.topk(2)
    w1, w2, w3 = ([random(*s, seed=10 * j + i) for i in range(4)] for j, s in enumerate(((8, 5), (8, 5), (5, 8))))
    expected = torch.zeros(6, 8)
    for token in range(6):
        for place in range(2):
            e = routing[token, place]
            between = F.silu(hidden[token] @ w1[e]) * (hidden[token] @ w2[e])
            expected[token] += weights[token, place] * (between @ w3[e])
    inputs = on_device(hidden, routing, weights)
    one, two, three = (on_device(*w) for w in (w1, w2, w3))
    close(torch.ops.hpu.mixture_of_experts(*inputs, one, two, three, False, "silu", 0, 3), expected)
    rows = [[w.t().contiguous() for w in group] for group in (one, two, three)]
    close(torch.ops.hpu.mixture_of_experts(*inputs, *rows, True, "silu", 0, 3), expected)
    fused = [torch.cat(pair, 1) for pair in zip(one, two, strict=True)]
    close(torch.ops.hpu.mixture_of_experts(*inputs, fused, three, False, "silu", 0, 3), expected)
    halves = [
        torch.ops.hpu.mixture_of_experts(*inputs, *(g[a : b + 1] for g in (one, two, three)), False, "silu", a, b)
        for a, b in ((0, 1), (2, 3))
    ]
    close(halves[0] + halves[1], expected)
    measured, amax = torch.ops.hpu.mixture_of_experts.fp8_measurement(
        *inputs, one, two, three, False, "silu", 0, 3, True
    )
    close(measured, expected)
    between = F.silu(hidden @ w1[2]) * (hidden @ w2[2])
    assert amax.shape == (4,)
    torch.testing.assert_close(amax[2].cpu(), between.amax())
    with raises(RuntimeError, 'Activation "tanh" not found'):
        torch.ops.hpu.mixture_of_experts(*inputs, one, two, three, False, "tanh", 0, 3)


def check_the_mixture_of_experts_in_fp8():
    hidden, scores = random(6, 8), random(6, 4, seed=1).softmax(-1)
    weights, routing = scores.topk(2)
    w1, w2, w3 = ([random(*s, seed=10 * j + i) for i in range(4)] for j, s in enumerate(((8, 5), (8, 5), (5, 8))))
    scales = [[2.0**-i for i in group] for group in ((5, 6, 5, 6), (6, 6, 5, 5), (5, 5, 6, 6))]
    narrow = [[(w / s).to(F8) for w, s in zip(*pair, strict=True)] for pair in zip((w1, w2, w3), scales, strict=True)]
    moe = torch.ops.hpu.mixture_of_experts
    inputs = on_device((hidden * 16).to(F8), routing, weights.bfloat16())
    one, two, three = (on_device(*group) for group in narrow)
    between = [0.25] * 4
    got = moe(*inputs, one, two, three, 1 / 16, between, *scales, False, "silu", 0, 3)
    expected = moe(*on_device(hidden, routing, weights), *(on_device(*w) for w in (w1, w2, w3)), False, "silu", 0, 3)
    assert got.dtype == torch.bfloat16
    assert 0.01 < (got.float() - expected).std() / expected.std() < 0.1  # FP8 rounds
    tensors = [torch.tensor(1 / 16, device="hpu"), *(on_device(*map(torch.tensor, s)) for s in (between, *scales))]
    rows = [[w.t().contiguous() for w in group] for group in (one, two, three)]
    close(moe(*inputs, *rows, *tensors, True, "silu", 0, 3), got.cpu(), 1e-2)
    halves = [[torch.full((5,), s) for s in group] for group in scales[:2]]  # a scale for each column
    fused = [torch.cat(pair, 1) for pair in zip(one, two, strict=True)]
    columns = on_device(*(torch.cat(pair) for pair in zip(*halves, strict=True)))
    of_fused = (*tensors[:2], columns, tensors[4])
    close(moe(*inputs, fused, three, *of_fused, False, "silu", 0, 3), got.cpu(), 1e-2)
    one_scale = [2.0**-6] * 4
    apart = moe(*inputs, one, two, three, 1.0, between, one_scale, one_scale, one_scale, False, "silu", 0, 3)
    close(moe(*inputs, fused, three, 1.0, between, one_scale, one_scale, False, "silu", 0, 3), apart.cpu(), 0)


def check_the_bridges_operators_are_counted_and_replayed():
    with torch.inference_mode():
        gamma = torch.ones(4, device="hpu")
        wrapped = hpu.wrap_in_hpu_graph_func(lambda x: FusedRMSNorm.apply(x, gamma, 0.0) * 2)
        wrapped(torch.ones(1, 4, device="hpu"))
        x = torch.tensor([[3.0, 0, 0, 0]], device="hpu")
        before = hpu.emulated_counters()["operations"]
        got = wrapped(x)
        assert hpu.emulated_counters()["operations"] - before == 3  # a copy, the norm, the product
        assert got.cpu().tolist() == [[4, 0, 0, 0]]


# ---------------------------------------------------------------- FP8
def check_casts_to_fp8_keep_gaudi2s_range():
    x = torch.tensor([1.0, 239.0, 300.0, -1e6, 0.3], device="hpu")
    cast, amax = torch.ops.hpu.cast_to_fp8_v2(x, None, False, True, F8)
    assert cast.dtype == F8 and cast.cpu().float().tolist() == [1, 240, 240, -240, 0.3125] and amax.item() == 1e6
    wide, none = torch.ops.hpu.cast_to_fp8_v2(x, None, False, False, torch.float8_e5m2)
    assert wide.cpu().float().tolist() == [1, 224, 320, -57344, 0.3125] and none.numel() == 0
    for scale in (0.5, torch.tensor(0.5, device="hpu")):
        scaled, _ = torch.ops.hpu.cast_to_fp8_v2(x, scale, False, False, F8)
        assert scaled.cpu().float().tolist() == [0.5, 120, 144, -240, 0.15625]
        back = torch.ops.hpu.cast_from_fp8(scaled, 1 / scale, torch.bfloat16)
        assert back.dtype == torch.bfloat16 and back.cpu().tolist() == [1, 240, 288, -480, 0.3125]


def check_casts_to_fp8_with_a_scale_for_each_row_or_column():
    x = torch.ones(2, 3, device="hpu")
    for scale in ([1.0, 2.0], torch.tensor([1.0, 2.0], device="hpu")):
        rows, _ = torch.ops.hpu.cast_to_fp8_v2(x, scale, False, False, F8, [2, 1])
        assert rows.cpu().float().tolist() == [[1, 1, 1], [2, 2, 2]]
        assert torch.equal(torch.ops.hpu.cast_from_fp8(rows, [1.0, 0.5], torch.float32, [2, 1]).cpu(), x.cpu())
    with raises(RuntimeError, "Number of scale elements (2) is not equal to number of scale_shape elements (3)"):
        torch.ops.hpu.cast_to_fp8_v2(x, [1.0, 2.0], False, False, F8, [1, 3])


def check_stochastic_rounding_is_right_on_average():
    torch.manual_seed(0)
    x = torch.full((4000,), 1.03, device="hpu")  # between 1 and 1.125
    cast, _ = torch.ops.hpu.cast_to_fp8_v2(x, None, True, False, F8)
    values = cast.cpu().float()
    assert set(values.tolist()) == {1.0, 1.125} and abs(values.mean().item() - 1.03) < 0.005


def check_casts_that_the_bridge_refuses():
    f8 = torch.ones(2, device="hpu").to(F8)
    with raises(RuntimeError, "must have no amax for float8"):
        torch.ops.hpu.cast_to_fp8_v2(f8, None, False, True, F8)
    with raises(RuntimeError, "are Float8_e4m3fn and Float8_e5m2"):
        torch.ops.hpu.cast_to_fp8_v2(f8, None, False, False, torch.float8_e5m2)
    with raises(RuntimeError, "input dtype must be one of"):
        torch.ops.hpu.cast_to_fp8_v2(torch.ones(2, device="hpu").half(), None, False, False, F8)
    with raises(RuntimeError, "output dtype must be equal to float or bfloat16"):
        torch.ops.hpu.cast_from_fp8(f8, None, torch.float16)
    with raises(RuntimeError, "is emulated to float8_e5m2, float8_e4m3fn, not to None"):
        torch.ops.hpu.cast_to_fp8_v2(torch.ones(2, device="hpu"))


def check_products_of_fp8():
    a, b = random(2, 3, 4).to(F8), random(4, 5, seed=1).to(F8)
    bias, extra = random(5, seed=2, dtype=torch.bfloat16), random(2, 3, 5, seed=3, dtype=torch.bfloat16)
    x, y, z, d = on_device(a, b, bias, extra)
    product = a.float() @ b.float()
    gemm = torch.ops.hpu.fp8_gemm_v2
    close(gemm(x, False, y, False, None, torch.float32), product)
    close(gemm(x, False, y.t().contiguous(), True, None, torch.float32, 0.5, 4.0), product * 2)
    scales = torch.tensor(0.5, device="hpu"), torch.arange(1.0, 6, device="hpu")
    close(gemm(x, False, y, False, None, torch.float32, *scales), product * 0.5 * torch.arange(1.0, 6))
    close(gemm(x, False, y, False, None, torch.float32, [0.5], [1.0, 2, 3, 4, 5]), product * 0.5 * torch.arange(1.0, 6))
    close(
        gemm(x, False, y, False, d, torch.bfloat16, 1.0, 1.0, z, True),
        (product + bias.float() + extra.float()).bfloat16(),
    )
    with raises(RuntimeError, "multiplies float8_e5m2, float8_e4m3fn, not torch.float32"):
        gemm(x.float(), False, y, False, None, torch.float32)


def check_the_scaled_product_of_torch():
    a, b = random(4, 16).to(F8), random(16, 16, seed=1).to(F8)
    scales = torch.tensor(0.5), torch.tensor(4.0)
    bias = random(16, seed=2, dtype=torch.bfloat16)
    product = a.float() @ b.float() * 2
    x, y, c, *factors = on_device(a, b, bias, *scales)
    close(torch._scaled_mm(x, y, *factors, bias=c, out_dtype=torch.bfloat16), (product + bias.float()).bfloat16())
    narrow = torch._scaled_mm(x, y, *factors, scale_result=torch.tensor(8.0, device="hpu"), out_dtype=F8)
    close(narrow.float(), (product * 8).clamp(-240, 240).to(F8).float())


def check_convolutions_of_fp8():
    x, w = random(1, 3, 6, 6).to(F8), random(4, 3, 3, 3, seed=1).to(F8)
    got = torch.ops.hpu.conv2d_fp8(*on_device(x, w), None, [1, 1], [1, 1], [1, 1], 1, torch.float32, 0.5, 4.0)
    close(got, F.conv2d(x.float(), w.float(), padding=1) * 2, 1e-4)


def check_softmax_of_fp8():
    x = random(2, 3, 8, dtype=torch.bfloat16)
    (y,) = on_device(x)
    softmax = torch.ops.hpu.softmax_fp8
    plain = softmax(y, -1)
    assert plain.dtype == torch.bfloat16
    close(plain, x.float().softmax(-1).bfloat16())
    for arguments in ((0.5, 200.0), tuple(on_device(torch.tensor(0.5), torch.tensor(200.0)))):
        got = softmax(y, -1, *arguments)
        assert got.dtype == F8
        close(got.float(), ((x.float() * 0.5).softmax(-1) * 200).to(F8).float())
    close(softmax(y, -1, None, None, torch.tensor(0.1, device="hpu")), (x.float() * 0.1).softmax(-1).bfloat16())
    with raises(RuntimeError, "input scale must be given"):
        softmax(y.to(F8), -1)


def check_scales_for_casts():
    x = torch.tensor([[1.0, -60.0], [30.0, 2.0]], device="hpu")
    scale = torch.ops.hpu.calculate_scale_for_cast
    assert scale(x, 1, 0).item() == 0.25  # 60 of 240
    assert scale(x, 1, 0, fullscale=120.0, backoff=0.5).item() == 1.0
    assert scale(x, 2, 0, reduceAxis=1, reduceKeepdim=True).cpu().tolist() == [[0.25], [0.125]]
    assert scale(torch.tensor([0.3, 0.25], device="hpu"), 0, 1).cpu().tolist() == [0.5, 0.25]
    with raises(RuntimeError, "no such mode"):
        scale(x, 3, 0)


def check_rows_of_fp8_are_copied_by_index():
    rows, more = random(4, 3).to(F8), random(2, 3, seed=1).to(F8)
    expected = rows.float().index_copy(0, torch.tensor([2, 0]), more.float())
    got, index = rows.to("hpu"), torch.tensor([2, 0], device="hpu")
    got.index_copy_(0, index, more.to("hpu"))
    close(got.float(), expected, 0)
    wide = torch.zeros(4, 3, device="hpu").index_copy(0, index, more.float().to("hpu"))
    close(wide, torch.zeros(4, 3).index_copy(0, index.cpu(), more.float()), 0)


def check_arithmetic_of_fp8_raises():
    (x,) = on_device(random(4).to(F8))
    for operation in (lambda: x + x, lambda: x * 2.0, lambda: x.sum()):
        with raises(NotImplementedError, "not implemented for 'Float8_e4m3fn'"):
            operation()


def check_attributes_of_scales_are_remembered():
    experimental._set_is_dynamic_quantization(True)
    experimental._set_scale_attributes(True, 13)
    assert experimental._get_scale_attribute_hash_id() == 13


def check_attention_of_fp8():
    q, k, v = (random(2, 4, 5, 8, seed=i).to(F8) for i in range(3))
    out, largest, _ = fp8_fused_sdpa(*on_device(q, k, v), is_causal=True, is_amax_s=True)
    expected = attention(q.float(), k.float(), v.float(), causal=True)
    assert out.dtype == torch.bfloat16 and largest.item() == 1.0
    close(out, expected.bfloat16(), 1e-2)
    scales = (1.0, 1.0, 1.0, 128.0, 2.0, 1 / 128)
    for given in (scales, on_device(*(torch.tensor(s) for s in scales))):
        out, _, _ = fp8_fused_sdpa(*on_device(q, k, v), None, 0.0, True, None, "fast", *given)
        assert out.dtype == F8
        close(out.float(), expected * 2, 0.1)
    with raises(RuntimeError, "gradients or dropout is not emulated"):
        fp8_fused_sdpa(*on_device(q, k, v), dropout_p=0.5)


# ---------------------------------------------------------------- preparing for inference
def check_models_are_prepared_for_inference():
    from habana_frameworks.torch.core.quantization import _get_marked_const_count

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    model[1].running_mean.fill_(0.5)
    x = random(1, 3, 6, 6)
    expected = model(x)
    for prepare in (htcore.hpu_set_env, htcore.hpu_set_inference_env):
        assert prepare() is None
        fused = prepare(model)
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
        torch.testing.assert_close(fused(x), expected)
        training = torch.nn.Sequential(torch.nn.Linear(1, 1))
        assert prepare(training) is training
    model = torch.nn.Module()
    model.scale_input, model.weight = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    before = _get_marked_const_count()
    htcore.hpu_initialize(model, mark_only_scales_as_const=True)
    assert _get_marked_const_count() - before == 1
    htcore.hpu_inference_initialize(model, optimizer=None)
    assert _get_marked_const_count() - before == 3
    htcore.hpu_initialize()
    htcore.hpu_reset_env()
    htcore.hpu_teardown_inference_env()
