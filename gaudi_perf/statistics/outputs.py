"""Whether two configurations of a model generate the same, as far as the arithmetic of their type allows.

Both get the same tokens as input (teacher forcing), so that every step can be compared, not just those up to the first
difference.
docs/outputs.md says where the bounds come from and what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, pstdev
from typing import Literal

from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.run import TokenTrace
from gaudi_perf.vocabulary.workload import FP8, Dtype

WRONG = "WRONG OUTPUT"
FROM_BFLOAT16 = "distance of FP8 from bfloat16: "
"""How the note of a run in FP8 begins."""

UNIT_ROUNDOFF: dict[Dtype, float] = {
    **{"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24},
    **{"fp8": 2.0**-8, "fp8kv": 2.0**-8},
}
"""Half the distance of 1 to the next larger number (Higham, Accuracy and Stability of Numerical Algorithms, 2.1). With
FP8 that of bfloat16, which goes from layer to layer."""

_ROUNDINGS_PER_LAYER = 10
"""Results of a BLOOM block that are rounded to the model's type: two layer norms, the fused projection, scores,
probabilities, context, three matrices, GELU, two sums with the residual; about ten of them on any path."""

_LEAST_ROUNDINGS = 100
"""Models of few layers do not have smaller differences: docs/outputs.md has what was measured."""

_FP8_BETWEEN = 0.2
"""How far two configurations in FP8 may be apart, relative to the spread of the logits: a difference of one bfloat16
rounding makes some inputs of the next product another FP8 number, one in eight apart."""

FP8_LAYER = 0.25
"""How far an FP8 layer may be from the one before, for the same input: rounding makes 0.04, a scale that is wrong by a
factor of two 0.5 or more."""

FP8_MODEL = 0.5
"""How far the logits in FP8 may be from those in bfloat16, relative to their spread, as the median of all steps:
rounding makes up to 0.25 in random models."""

_FACTOR = 2.0
"""Two configurations are rounded independently (a factor of 1.4); the rest is margin."""

_TOGETHER = 5
"""A fault is there in one step after the other: the median of so many in a row is compared with the bound."""

_ALONE = 3.0
"""How many times that bound a single step may be off: now and then rounding falls into a sharp softmax."""


@dataclass(frozen=True)
class Agreement:
    """Whether outputs are the ``same``, differ by ``rounding`` or are ``wrong``; and at which step, in numbers."""

    kind: Literal["same", "rounding", "wrong"]
    sentence: str = ""


def relative_rounding(dtype: Dtype, built: Architecture) -> float:
    """How far logits may be apart by rounding, relative to their spread over the vocabulary.

    Rounding errors of ``n`` operations that are independent with mean zero grow like ``sqrt(n) u`` (Higham and Mary,
    A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 41, 2019), here with ``n`` the
    roundings of all layers. 16-bit types are summed up in float32, so only results count; a float32 result is itself a
    sum of up to ``4 h`` rounded terms.
    """
    terms = 4 * built.hidden_size if dtype == "float32" else 1
    roundings = max(_ROUNDINGS_PER_LAYER * built.layers, _LEAST_ROUNDINGS)
    rounding = _FACTOR * UNIT_ROUNDOFF[dtype] * math.sqrt(roundings * terms)
    return max(rounding, _FP8_BETWEEN) if dtype in FP8 else rounding


def compare_traces(ours: TokenTrace, theirs: TokenTrace, dtype: Dtype, built: Architecture) -> Agreement:
    """Compare two configurations that were led along the same tokens, at every step.

    The median of five steps in a row may be as far apart as rounding allows, a single step three times as far.

    Raises:
        ValueError: they were led along different tokens, or have no samples.
    """
    if ours.token_ids != theirs.token_ids or not ours.sample or not theirs.sample:
        raise ValueError("traces along different tokens, or without samples, cannot be compared")
    steps = len(ours.sample)
    allowed = [_allowed(theirs, step, dtype, built) for step in range(steps)]
    shares = [
        pstdev(left - right for left, right in zip(mine, other, strict=True)) / limit
        for mine, other, limit in zip(ours.sample, theirs.sample, allowed, strict=True)
    ]
    for step in range(steps):
        together = shares[step : step + _TOGETHER]
        share, most = median(together), 1.0
        if len(together) < _TOGETHER or shares[step] > _ALONE:
            share, most = shares[step], _ALONE
        if share > most:
            return Agreement(
                "wrong",
                f"at step {step + 1} of {steps} the logits are {share * allowed[step]:.3g} apart, and rounding allows "
                f"{most * allowed[step]:.3g}",
            )
    return _worst(
        _choice(theirs, step, ours.likeliest[step][0], dtype, built)
        for step in range(steps)
        if ours.likeliest[step][0] != theirs.likeliest[step][0]
    )


def fp8_distance(ours: TokenTrace, wide: TokenTrace) -> float:
    """How far the logits in FP8 are from those in bfloat16 along the same tokens: the median over the steps of the
    standard deviation of the difference, relative to the spread over the vocabulary.
    """
    return median(
        pstdev(left - right for left, right in zip(mine, other, strict=True)) / max(spread, 1e-12)
        for mine, other, spread in zip(ours.sample, wide.sample, wide.spread, strict=True)
    )


def judge_fp8(distance: float, layer: str, error: float) -> Agreement:
    """Whether FP8's rounding explains how far a model is from the one in bfloat16; ``error`` is that of its worst
    layer, for the same input.
    """
    if error > FP8_LAYER:
        return Agreement(
            "wrong",
            f"layer {layer} is {error:.3g} of its output apart, and FP8 allows {FP8_LAYER}: its scale is wrong",
        )
    if distance > FP8_MODEL:
        return Agreement(
            "wrong",
            f"the logits are {distance:.3g} of their spread apart, and FP8 allows {FP8_MODEL}: do its scales fit?",
        )
    return Agreement("rounding", f"{distance:.3f} of the logits' spread; in a layer up to {error:.3f}, in {layer}")


def compare_tokens(
    trace: TokenTrace, ours: Sequence[int], theirs: Sequence[int], dtype: Dtype, built: Architecture
) -> Agreement:
    """Compare tokens with those of another run, whose logits are not known, up to the first that differs.

    After it, the sequences differ for good reason. The trace has our logits along ``ours``.
    """
    step = first_difference(ours, theirs)
    if step is None:
        return Agreement("same")
    if step >= len(trace.token_ids) or step >= len(theirs) or step >= len(ours):
        return Agreement("wrong", f"{len(ours)} tokens are not as many as {len(theirs)}")
    return _choice(trace, step, theirs[step], dtype, built)


def compare_reference(trace: TokenTrace, ours: Sequence[int], dtype: Dtype, built: Architecture) -> Agreement:
    """Whether the tokens of a greedy generation elsewhere, and ours, are what one model generates.

    Each of the other's tokens, along which the trace has our logits, must be the likeliest of its step, or as near to
    it as rounding allows; so must ours where the two part.
    """
    noted = _worst(
        _choice(trace, step, token, dtype, built)
        for step, token in enumerate(trace.token_ids)
        if token != trace.likeliest[step][0]
    )
    parting = first_difference(ours, trace.token_ids)
    if parting is None or noted.kind == "wrong":
        return noted
    if parting >= len(ours) or parting >= len(trace.token_ids):
        return Agreement("wrong", f"{len(ours)} tokens are not as many as {len(trace.token_ids)}")
    if ours[parting] == trace.likeliest[parting][0]:
        return noted
    return _worst([noted, _choice(trace, parting, ours[parting], dtype, built)])


def first_difference(ours: Sequence[object], theirs: Sequence[object]) -> int | None:
    """The first step, from 0, at which two sequences differ; None if they are the same."""
    shared = min(len(ours), len(theirs))
    different = (step for step in range(shared) if ours[step] != theirs[step])
    return next(different, None if len(ours) == len(theirs) else shared)


def _worst(found: Iterable[Agreement]) -> Agreement:
    """The first that is wrong; without one, the first that differs by rounding."""
    noted = Agreement("same")
    for one in found:
        if one.kind == "wrong":
            return one
        noted = one if noted.kind == "same" else noted
    return noted


def _choice(trace: TokenTrace, step: int, token: int, dtype: Dtype, built: Architecture) -> Agreement:
    """Whether another configuration may choose this token, where a trace has its own likeliest one."""
    likeliest, logits = trace.likeliest[step], trace.logits[step]
    known = token in likeliest or token == trace.token_ids[step]
    logit = logits[likeliest.index(token)] if token in likeliest else trace.followed[step] if known else logits[-1]
    gap = logits[0] - logit
    allowed = 2 * _allowed(trace, step, dtype, built)  # each of the two logits may be off
    where = f"step {step + 1} of {len(trace.token_ids)}: token {token} instead of {likeliest[0]}"
    size = f"{'' if known else 'more than '}{gap:.3g}"
    if gap > allowed:
        return Agreement("wrong", f"{where}, whose logit is {size} higher, and rounding allows {allowed:.3g}")
    return Agreement("rounding", f"{where}, whose logit is {size} higher; rounding allows {allowed:.3g}")


def _allowed(trace: TokenTrace, step: int, dtype: Dtype, built: Architecture) -> float:
    """How far a logit of a step may be off by rounding: that of the layers, and its own."""
    own = _FACTOR * UNIT_ROUNDOFF[dtype] * trace.magnitude[step]
    return relative_rounding(dtype, built) * trace.spread[step] + own
