"""FP8: casts, products and softmax with scales, as Gaudi 2 and 3 compute them; Gaudi of the first generation has none.

Gaudi 2 keeps the highest exponent of float8_e4m3fn for infinities, as IEEE 754 would: its largest number is 240.
"""

import torch

from habana_frameworks.torch._device import settings

from .registry import kernel, operator

_FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_EXPONENTS = {torch.float8_e4m3fn: (-6, 3), torch.float8_e5m2: (-14, 2)}  # smallest normal exponent, bits of mantissa
_FP8_SCALE_SHAPE = "int[]? scale_shape=None"


def largest(dtype):
    """The largest number of a type on this generation."""
    if dtype == torch.float8_e4m3fn and settings.generation == "gaudi2":
        return 240.0
    return torch.finfo(dtype).max


def check_generation():
    if settings.generation == "gaudi":
        raise RuntimeError("FP8 is not supported on Gaudi of the first generation")


def _check(condition, sentence):
    check_generation()
    if not condition:
        raise RuntimeError(sentence)


def _scale(scale, dtype, shape=None):
    """A scale of any form as a tensor that broadcasts; None is 1."""
    if scale is None:
        return torch.ones((), dtype=dtype)
    scale = torch.as_tensor(scale).to(dtype)
    if shape is not None:
        expected = torch.Size(shape).numel()
        _check(
            scale.numel() in (1, expected) if scale.dim() == 0 else scale.numel() == expected,
            f"Number of scale elements ({scale.numel()}) is not equal to number of scale_shape elements ({expected}).",
        )
    return scale.reshape(shape) if shape is not None and scale.numel() > 1 else scale


def to_fp8(wide, dtype, stochastic=False):
    """Rounds half to even, or stochastically, and keeps what is too large at the largest number."""
    if stochastic:
        smallest, bits = _EXPONENTS[dtype]
        wide = wide.float()
        _, exponent = torch.frexp(wide)
        step = torch.ldexp(torch.ones_like(wide), (exponent - 1).clamp(min=smallest) - bits)
        wide = torch.floor(wide / step + torch.rand_like(wide)) * step
    return wide.clamp(-largest(dtype), largest(dtype)).to(dtype)


@operator(
    f"cast_to_fp8_v2(Tensor input, Tensor? scale=None, bool stochastic_rounding=False, bool is_amax=False,"
    f" ScalarType? dtype=None, {_FP8_SCALE_SHAPE}) -> (Tensor, Tensor)",
    f"cast_to_fp8_v2.scalar(Tensor input, float scale, bool stochastic_rounding=False, bool is_amax=False,"
    f" ScalarType? dtype=None, {_FP8_SCALE_SHAPE}) -> (Tensor, Tensor)",
    f"cast_to_fp8_v2.scalar_list(Tensor input, float[] scale, bool stochastic_rounding=False, bool is_amax=False,"
    f" ScalarType? dtype=None, {_FP8_SCALE_SHAPE}) -> (Tensor, Tensor)",
)
def cast_to_fp8(input, scale=None, stochastic_rounding=False, is_amax=False, dtype=None, scale_shape=None):
    """The input times its scale in FP8, and the largest magnitude of the input (empty unless asked for)."""
    types = (torch.float32, torch.bfloat16, *_FP8)
    _check(input.dtype in types, f"CastToFp8V2 input dtype must be one of [float, bfloat16, {_NAMES}].")
    _check(dtype in _FP8, f"cast_to_fp8_v2 is emulated to {_NAMES}, not to {dtype}")
    amax = torch.empty(0)
    if input.dtype in _FP8:
        _check(not is_amax, "CastToFp8V2 must have no amax for float8.")
        names = [str(t).replace("torch.f", "F") for t in (input.dtype, dtype)]
        _check(
            input.dtype == dtype,
            f"CastToFp8V2 input and output must have the same dtype for float8, but are {names[0]} and {names[1]}",
        )
        scaled = input.float() * _scale(scale, torch.float32, scale_shape)
    else:
        scaled = input * _scale(scale, input.dtype, scale_shape)
        amax = input.abs().amax().float() if is_amax else amax
    return to_fp8(scaled, dtype, stochastic_rounding), amax


_NAMES = "float8_e5m2, float8_e4m3fn"


@operator(
    "cast_to_fp8_hybrid(Tensor input, Tensor? scale_152=None, Tensor? scale_143=None, bool stochastic_rounding=False,"
    " bool is_amax=False) -> (Tensor, Tensor, Tensor)"
)
def cast_to_both(input, scale_152=None, scale_143=None, stochastic_rounding=False, is_amax=False):
    wide, amax = cast_to_fp8(input, scale_152, stochastic_rounding, is_amax, torch.float8_e5m2)
    return wide, cast_to_fp8(input, scale_143, False, False, torch.float8_e4m3fn)[0], amax


@operator(
    f"cast_from_fp8(Tensor input, Tensor? scale, ScalarType out_dtype, {_FP8_SCALE_SHAPE}) -> Tensor",
    f"cast_from_fp8.scalar(Tensor input, float scale, ScalarType out_dtype, {_FP8_SCALE_SHAPE}) -> Tensor",
    f"cast_from_fp8.scalar_list(Tensor input, float[] scale, ScalarType out_dtype, {_FP8_SCALE_SHAPE}) -> Tensor",
)
def cast_from_fp8(input, scale, out_dtype, scale_shape=None):
    types = (torch.float32, torch.bfloat16)
    _check(out_dtype in types, "CastFromFp8 output dtype must be equal to float or bfloat16.")
    return input.to(out_dtype) * _scale(scale, out_dtype, scale_shape)


_GEMM = "(Tensor A, bool trans_A, Tensor B, bool trans_B, Tensor? D, ScalarType out_dtype, "
_GEMM_END = ", Tensor? bias=None, bool accumulate=False, int[]? B_scale_shape=None) -> Tensor"


@operator(
    f"fp8_gemm_v2{_GEMM}Tensor? A_scale_inv=None, Tensor? B_scale_inv=None{_GEMM_END}",
    f"fp8_gemm_v2.scalar{_GEMM}float A_scale_inv, float B_scale_inv{_GEMM_END}",
    f"fp8_gemm_v2.scalar_list{_GEMM}float[] A_scale_inv, float[] B_scale_inv{_GEMM_END}",
)
def gemm(
    A, trans_A, B, trans_B, D, out_dtype, A_scale_inv=None, B_scale_inv=None, bias=None, accumulate=False,
    B_scale_shape=None,
):  # fmt: skip
    """The product in float32, times both scales; then bias and, to accumulate, D are added."""
    _check(A.dtype in _FP8 and B.dtype in _FP8, f"fp8_gemm_v2 multiplies {_NAMES}, not {A.dtype} and {B.dtype}")
    left = A.float().transpose(-2, -1) if trans_A else A.float()
    right = B.float().transpose(-2, -1) if trans_B else B.float()
    scale = _scale(A_scale_inv, torch.float32) * _scale(B_scale_inv, torch.float32, B_scale_shape)
    result = torch.matmul(left, right) * scale
    if bias is not None:
        result = result + bias.float()
    if accumulate:
        result = result + D.float()
    return result.to(out_dtype)


@operator(
    "fp8_gemm(Tensor A, bool trans_A, Tensor B, bool trans_B, Tensor D, ScalarType out_dtype, Tensor? A_scale_inv,"
    " Tensor? B_scale_inv, Tensor? bias, bool accumulate, Tensor(a!) out) -> Tensor(a!)"
)
def gemm_into(A, trans_A, B, trans_B, D, out_dtype, A_scale_inv, B_scale_inv, bias, accumulate, out):
    return out.copy_(gemm(A, trans_A, B, trans_B, D, out_dtype, A_scale_inv, B_scale_inv, bias, accumulate))


@kernel("_scaled_mm")
def scaled_product(
    left, right, scale_a, scale_b, bias=None, scale_result=None, out_dtype=None, use_fast_accum=False
):  # fmt: skip
    """torch's own product of FP8; the bridge multiplies by the scale of the result, where torch's CPU divides."""
    result = left.float() @ right.float() * (scale_a * scale_b)
    if bias is not None:
        result = result + bias.float()
    if scale_result is not None:
        result = result * scale_result
    out_dtype = out_dtype or left.dtype
    return to_fp8(result, out_dtype) if out_dtype in _FP8 else result.to(out_dtype)


_CONV = (
    "(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1, SymInt[2] padding=0, SymInt[2] dilation=1,"
    " int groups=1, ScalarType? out_dtype=None, "
)


@operator(
    f"conv2d_fp8{_CONV}Tensor? scale_input=None, Tensor? scale_weight=None) -> Tensor",
    f"conv2d_fp8.scalar{_CONV}float scale_input=1.0, float scale_weight=1.0) -> Tensor",
)
def conv2d(
    input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, out_dtype=None, scale_input=None,
    scale_weight=None,
):  # fmt: skip
    _check(input.dtype in _FP8 and weight.dtype in _FP8, f"conv2d_fp8 takes {_NAMES}")
    scale = _scale(scale_input, torch.float32) * _scale(scale_weight, torch.float32)
    result = torch.nn.functional.conv2d(input.float(), weight.float(), None, stride, padding, dilation, groups) * scale
    if bias is not None:
        result = result + bias.float().reshape(1, -1, 1, 1)
    return result.to(out_dtype or torch.bfloat16)


@operator(
    "softmax_fp8(Tensor input, int dim, Tensor? input_scale=None, Tensor? output_scale=None,"
    " Tensor? inv_attn_heads=None, Tensor? fused_add=None) -> Tensor",
    "softmax_fp8.Scalar_scales(Tensor input, int dim, float input_scale, float output_scale,"
    " Tensor? inv_attn_heads=None, Tensor? fused_add=None) -> Tensor",
    "softmax_fp8.Scalar(Tensor input, int dim, float input_scale, float output_scale, float inv_attn_heads,"
    " Tensor? fused_add=None) -> Tensor",
)
def softmax(input, dim, input_scale=None, output_scale=None, inv_attn_heads=None, fused_add=None):
    """float8_e4m3fn with scales, bfloat16 without."""
    types = (torch.bfloat16, torch.float8_e4m3fn)
    _check(input.dtype in types, "Input tensor must be of torch.bfloat16 or torch.float8_e4m3fn dtype.")
    scaled = input_scale is not None
    _check(scaled == (output_scale is not None), "Output and input scales must be both given or None")
    _check(
        scaled or input.dtype == torch.bfloat16,
        "If Input is of torch.float8_e4m3fn dtype then input scale must be given.",
    )
    _check(
        scaled or fused_add is None, "FusedAdd available only for Float8 output, but input scale is not given."
    )
    wide = input.float() * _scale(inv_attn_heads, torch.float32) * _scale(input_scale, torch.float32)
    if fused_add is not None:
        wide = wide + fused_add.float()
    result = torch.softmax(wide, dim)
    if not scaled:
        return result.to(torch.bfloat16)
    return to_fp8(result * _scale(output_scale, torch.float32), torch.float8_e4m3fn)


@operator("sum_fp8(Tensor self, int[1]? dim=None, bool keepdim=False, ScalarType? out_dtype=None) -> Tensor")
def total(self, dim=None, keepdim=False, out_dtype=None):
    _check(self.dtype in _FP8, f"sum_fp8 takes {_NAMES}, not {self.dtype}")
    result = self.float().sum(dim, keepdim=keepdim)
    out_dtype = out_dtype or self.dtype
    return to_fp8(result, out_dtype) if out_dtype in _FP8 else result.to(out_dtype)


@operator("in_place_interleave(Tensor self) -> Tensor")
def interleave(self):
    """The first quarter of the rows, each four times."""
    return self[: self.shape[0] // 4].repeat_interleave(4, dim=0)


@operator("in_place_interleave_(Tensor(a!) self) -> Tensor(a!)")
def interleave_in_place(self):
    return self.copy_(interleave(self))


@operator(
    "calculate_scale_for_cast(Tensor self, int max_mode, int round_mode, *, float? fullscale=None, float? backoff=None,"
    " int? reduceAxis=None, bool reduceKeepdim=False) -> Tensor"
)
def scale_for_cast(self, max_mode, round_mode, fullscale=None, backoff=None, reduceAxis=None, reduceKeepdim=False):
    """A scale by which a tensor fits into FP8, or a scale rounded up to a power of two.

    The sources of v1.19.0 lack this operator: its modes and names are those by which neural-compressor-pt calls it.
    Modes of the maximum: 0 none (the input is a scale), 1 of all, 2 along reduceAxis.
    """
    _check(max_mode in (0, 1, 2) and round_mode in (0, 1), "calculate_scale_for_cast: no such mode")
    scale = self.float()
    if max_mode:
        scale = scale.abs().amax() if max_mode == 1 else scale.abs().amax(reduceAxis, keepdim=reduceKeepdim)
        scale = scale / ((fullscale or largest(torch.float8_e4m3fn)) * (1.0 if backoff is None else backoff))
    if round_mode:
        scale = torch.exp2(torch.ceil(torch.log2(scale)))
    return scale.to(self.dtype)
