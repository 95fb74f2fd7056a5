"""The rule by which outputs agree."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gaudi_perf.statistics.outputs import (
    UNIT_ROUNDOFF,
    compare_reference,
    compare_tokens,
    compare_traces,
    first_difference,
    relative_rounding,
)
from gaudi_perf.vocabulary.run import TokenTrace
from gaudi_perf.vocabulary.workload import DTYPES, Dtype
from tests.shapes import bloom

SHAPE = bloom(hidden_size=256, layers=3, heads=8, vocabulary=2048)


def trace(
    steps: int = 5, off: float = 0.0, gap: float = 1.0, at: int | None = None, magnitude: float = 1.0
) -> TokenTrace:
    """Logits with a spread of about 1; ``off`` moves those of a step, or of all, apart by that much at random."""
    noise = random.Random(7)
    sample = []
    for step in range(steps):
        base = random.Random(step)
        moved = off if at is None or at == step else 0.0
        sample.append([base.gauss(0, 1) + moved * noise.gauss(0, 1) for _ in range(400)])
    return TokenTrace(
        token_ids=[10 + step for step in range(steps)],
        likeliest=[[10 + step, 99, 98] for step in range(steps)],
        logits=[[5.0, 5.0 - gap, 5.0 - 2 * gap] for _ in range(steps)],
        followed=[5.0] * steps,
        spread=[1.0] * steps,
        magnitude=[magnitude] * steps,
        sample=sample,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@given(share=st.floats(0, 0.9), at=st.none() | st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_what_rounding_explains_agrees_and_more_does_not(dtype: Dtype, share: float, at: int | None) -> None:
    allowed = relative_rounding(dtype, SHAPE)
    most = 1 if at is None else 3  # rounding alone moves a single step further
    assert compare_traces(trace(off=most * share * allowed, at=at), trace(), dtype, SHAPE).kind == "same"
    found = compare_traces(trace(off=1.5 * most * (allowed + 2 * UNIT_ROUNDOFF[dtype]), at=at), trace(), dtype, SHAPE)
    assert found.kind == "wrong"
    assert f"at step {1 if at is None else at + 1} of 5" in found.sentence


def test_a_shift_of_all_logits_alike_is_no_difference() -> None:
    ours = trace()
    shifted = replace(ours, sample=[[value + 3 for value in step] for step in ours.sample])
    assert compare_traces(shifted, ours, "bfloat16", SHAPE).kind == "same"


def test_another_choice_within_rounding_is_rounding_and_beyond_is_wrong() -> None:
    allowed = relative_rounding("bfloat16", SHAPE)
    for gap, kind in ((0.0, "rounding"), (1.5 * allowed, "rounding"), (3 * allowed, "wrong")):
        theirs = trace(gap=gap)
        ours = replace(theirs, likeliest=[[99, 10, 98], *theirs.likeliest[1:]])
        found = compare_traces(ours, theirs, "bfloat16", SHAPE)
        assert found.kind == kind and "step 1 of 5: token 99 instead of 10" in found.sentence


def test_large_logits_are_rounded_themselves() -> None:
    theirs = trace(gap=1.0)
    assert compare_tokens(theirs, [10, 11], [10, 99], "bfloat16", SHAPE).kind == "wrong"
    theirs = trace(gap=1.0, magnitude=300.0)  # in bfloat16 the neighbours of 300 are 298 and 302
    assert compare_tokens(theirs, [10, 11], [10, 99], "bfloat16", SHAPE).kind == "rounding"


def test_tokens_are_compared_up_to_the_first_difference() -> None:
    theirs = trace(gap=0.01)
    assert compare_tokens(theirs, [10, 11, 12], [10, 11, 12], "bfloat16", SHAPE).kind == "same"
    found = compare_tokens(theirs, [10, 11, 12, 13], [10, 99, 7, 7], "bfloat16", SHAPE)
    assert found.kind == "rounding" and "step 2" in found.sentence
    assert compare_tokens(theirs, [10, 11, 12], [10, 11], "bfloat16", SHAPE).kind == "wrong"
    unknown = compare_tokens(trace(gap=1.0), [10, 11], [10, 12345], "bfloat16", SHAPE)
    assert unknown.kind == "wrong" and "more than 2" in unknown.sentence


def test_a_reference_is_followed_to_its_end() -> None:
    dtype: Dtype = "bfloat16"
    allowed = relative_rounding(dtype, SHAPE)
    led = trace(gap=0.5 * allowed)
    tokens = list(led.token_ids)
    assert compare_reference(led, tokens, dtype, SHAPE).kind == "same"
    for given_tokens in (tokens[:3], [*tokens, 15]):
        found = compare_reference(led, given_tokens, dtype, SHAPE)
        assert (found.kind, found.sentence) == ("wrong", f"{len(given_tokens)} tokens are not as many as 5")

    near = replace(led, likeliest=[led.likeliest[0], [99, 11, 98], *led.likeliest[2:]])
    found = compare_reference(near, [10, 99, 5, 5, 5], dtype, SHAPE)
    assert found.kind == "rounding" and "step 2 of 5: token 11 instead of 99" in found.sentence
    # The reference has the likeliest one, and ours is as likely.
    found = compare_reference(led, [10, 11, 99, 5, 5], dtype, SHAPE)
    assert found.kind == "rounding" and "step 3 of 5: token 99 instead of 12" in found.sentence
    assert compare_reference(led, [10, 11, 12345, 5, 5], dtype, SHAPE).kind == "rounding", "not among the likeliest"

    # A wrong token after one that rounding explains is seen, and its own logit is known.
    planted = replace(near, likeliest=[*near.likeliest[:4], [50, 51]], logits=[*near.logits[:4], [5.0, 4.9]])
    planted = replace(planted, followed=[5.0, 5.0, 5.0, 5.0, 1.0])
    found = compare_reference(planted, [10, 99, 5, 5, 5], dtype, SHAPE)
    assert found.kind == "wrong"
    assert "step 5 of 5: token 14 instead of 50, whose logit is 4 higher, and rounding allows" in found.sentence
    ours = compare_reference(trace(gap=1.0), [10, 11, 12, 99, 5], dtype, SHAPE)
    assert ours.kind == "wrong" and "step 4 of 5: token 99 instead of 13" in ours.sentence


def test_traces_along_other_tokens_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="different tokens"):
        compare_traces(trace(steps=4), trace(), "bfloat16", SHAPE)
    with pytest.raises(ValueError, match="without samples"):
        compare_traces(replace(trace(), sample=[]), trace(), "bfloat16", SHAPE)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_the_first_difference_is_the_first(ours: list[int], theirs: list[int]) -> None:
    step = first_difference(ours, theirs)
    if step is None:
        assert ours == theirs
    else:
        assert ours[:step] == theirs[:step] and ours[step : step + 1] != theirs[step : step + 1]
