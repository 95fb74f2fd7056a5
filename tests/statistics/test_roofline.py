"""The memory's limit, against numbers that were worked out by hand or by another way of counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gaudi_perf.statistics.roofline import PUBLISHED, generation_bytes, roofline, roofline_of, step_bytes, steps
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.stack import Device
from gaudi_perf.vocabulary.workload import Workload
from tests.shapes import bloom
from tests.stores.factories import make_run

SMALL = bloom(hidden_size=8, layers=2, heads=2, vocabulary=11)
BLOOMZ_7B = shipped_model("bloomz7b").full
SMALL_PARAMETERS = 2 * (12 * 64 + 13 * 8) + 11 * 8 + 4 * 8

sizes = st.integers(1, 40)
shapes = st.builds(
    bloom, hidden_size=st.integers(1, 64).map(lambda n: 8 * n), layers=sizes, heads=st.just(8), vocabulary=sizes
)


def case(model: str = "bloomz7b", devices: int = 1, kv_cache: bool = True, **workload: int) -> Case:
    configuration = Configuration(model=model, devices=devices, graphs=True, kv_cache=kv_cache)
    return Case(configuration=configuration, accelerator="cuda", workload=Workload(**workload), scale="full")  # type: ignore[arg-type]


def device(name: str = "h100-80gb") -> Device:
    return Device(name=name, accelerator="cuda")


def test_a_step_reads_every_weight_once_a_row_and_the_cache() -> None:
    assert step_bytes(SMALL, "bfloat16", new=1) == 2 * SMALL_PARAMETERS + 2 * 8
    assert step_bytes(SMALL, "float32", new=1) == 2 * step_bytes(SMALL, "bfloat16", new=1)
    # A key and a value of eight numbers in both layers, two bytes each.
    more = step_bytes(SMALL, "bfloat16", new=1, cached=3) - step_bytes(SMALL, "bfloat16", new=1)
    assert more == 3 * 2 * 8 * 2 * 2
    assert (
        step_bytes(SMALL, "bfloat16", new=1, cached=3, batch_size=4)
        - step_bytes(SMALL, "bfloat16", new=1, batch_size=4)
        == 4 * more
    )


def test_two_tokens_by_hand() -> None:
    workload = Workload(prompt_tokens=3, new_tokens=2)
    weights, row, kept = 2 * SMALL_PARAMETERS, 2 * 8, 2 * 8 * 2 * 2
    assert generation_bytes(SMALL, workload, kv_cache=True) == (weights + 3 * row) + (weights + row + 3 * kept)
    assert generation_bytes(SMALL, workload, kv_cache=False) == (weights + 3 * row) + (weights + 4 * row)


@given(shape=shapes, prompt=sizes, new=sizes, batch=st.integers(1, 8))
def test_all_steps_together(shape: Architecture, prompt: int, new: int, batch: int) -> None:
    """Counted in closed form: the cache holds prompt, prompt + 1, ... tokens from the second step on."""
    workload = Workload(prompt_tokens=prompt, new_tokens=new, batch_size=batch)
    row = 2 * shape.hidden_size
    held = sum(range(prompt, prompt + new - 1))
    cached = new * shape.weight_bytes("bfloat16") + batch * (
        (prompt + new - 1) * row + held * shape.kept_bytes(1, "bfloat16")
    )
    assert generation_bytes(shape, workload, kv_cache=True) == cached
    uncached = new * shape.weight_bytes("bfloat16") + batch * row * sum(range(prompt, prompt + new))
    assert generation_bytes(shape, workload, kv_cache=False) == uncached


@pytest.mark.parametrize("new", [300, 10**6, 10**12])
@pytest.mark.parametrize("kv_cache", [True, False])
def test_of_many_steps_some_stand_for_all(new: int, kv_cache: bool) -> None:
    workload = Workload(prompt_tokens=7, new_tokens=new)
    taken = list(steps(workload, kv_cache))
    assert len(taken) == 257 and sum(count for count, _, _ in taken) == new
    row, held = 2 * SMALL.hidden_size, (7 + 7 + new - 2) * (new - 1) // 2
    cached = (7 + new - 1) * row + held * SMALL.kept_bytes(1, "bfloat16")
    whole = new * SMALL.weight_bytes("bfloat16") + (cached if kv_cache else (held + 7 + new - 1) * row)
    assert generation_bytes(SMALL, workload, kv_cache) == pytest.approx(whole, rel=1e-4)


def test_bloomz7b_on_an_h100() -> None:
    """7 069 016 064 parameters of two bytes are 14.1 GB, which 3.35 TB/s bring in 4.22 ms."""
    limit = roofline(case(), BLOOMZ_7B, device())
    assert limit is not None
    assert BLOOMZ_7B.parameters == 7_069_016_064
    assert limit.limit_s == pytest.approx((100 * 14.138 + 5544 * 0.000492) / 3350, rel=1e-3)  # GB, over GB/s
    assert limit.share(2 * limit.limit_s) == pytest.approx(0.5)
    assert limit.bandwidth == PUBLISHED["h100-80gb"]


def test_a_weight_in_fp8_is_a_byte() -> None:
    """A key and a value of eight numbers in both layers are two bytes each, and one with an FP8 KV cache."""
    assert step_bytes(SMALL, "fp8", new=1) == SMALL_PARAMETERS + 8
    kept = [step_bytes(SMALL, kind, new=1, cached=3) - step_bytes(SMALL, kind, new=1) for kind in ("fp8", "fp8kv")]
    assert kept == [3 * 2 * 8 * 2 * 2, 3 * 2 * 8 * 2]


def test_what_was_measured_goes_before_what_was_published() -> None:
    measured = roofline(case(), BLOOMZ_7B, device(), 1e12)
    published = roofline(case(), BLOOMZ_7B, device())
    assert measured is not None and published is not None
    assert measured.bandwidth.source == "measured"
    assert measured.limit_s == pytest.approx(3.35 * published.limit_s)


def test_eight_devices_read_at_the_same_time() -> None:
    one, eight = (roofline(case("bloomz176b", devices), BLOOMZ_7B, device("gaudi2")) for devices in (1, 8))
    assert one is not None and eight is not None
    assert one.limit_s == pytest.approx(8 * eight.limit_s)
    assert one.generation_bytes == eight.generation_bytes


@pytest.mark.parametrize("name", ["cpu", "emulated-gaudi2", "rtx-9090"])
def test_nobody_knows_every_bandwidth(name: str) -> None:
    assert roofline(case(), BLOOMZ_7B, device(name)) is None


def test_published_bandwidths_have_sources_and_are_of_this_world() -> None:
    for name, bandwidth in PUBLISHED.items():
        assert bandwidth.source and 0.5e12 < bandwidth.per_s < 10e12, name
    assert PUBLISHED["gaudi"].per_s < PUBLISHED["gaudi2"].per_s < PUBLISHED["gaudi3"].per_s


def test_a_run_has_the_limit_of_what_it_measured() -> None:
    run = make_run(1.0)
    published = roofline_of(run)
    assert published is not None and published.bandwidth == PUBLISHED["gaudi2"]
    measured = roofline_of(replace(run, measurement=replace(run.measurement, memory_bandwidth=1e12)))
    assert measured is not None and measured.bandwidth.per_s == 1e12
    case = replace(run.case, configuration=replace(run.case.configuration, model="bloomz9000"))
    assert roofline_of(replace(run, case=case)) is None


def test_of_experts_only_those_that_are_chosen_are_read() -> None:
    """Mixtral 8x7B reads 12.9 of its 46.7 billion weights for a token, and nearly all for a long prompt."""
    mixtral = shipped_model("mixtral-8x7b").full
    assert mixtral.weights_read(1) == pytest.approx(12.88e9 - 32000 * 4096, rel=0.001)  # less the embedding
    assert mixtral.weights_read(2) == pytest.approx(mixtral.weights_read(1) + 32 * 3 * 4096 * 14336 * 1.5, rel=0.001)
    assert mixtral.weights_read(1024) == pytest.approx(mixtral.parameters - 32000 * 4096, rel=1e-6)


def test_windows_bound_what_is_read_of_the_cache() -> None:
    mistral, gemma, mamba = (shipped_model(name).full for name in ("mistral-7b", "gemma2-9b", "mamba-130m"))
    per_token = 2 * 32 * 8 * 128 * 2
    assert mistral.kept_bytes(1000, "bfloat16") == 1000 * per_token
    assert mistral.kept_bytes(9000, "bfloat16") == 4096 * per_token
    assert gemma.kept_bytes(8192, "bfloat16") == 21 * (8192 + 4096) * 2 * 8 * 256 * 2, "every other layer has a window"
    # A state of 16 and a convolution of 4 for each of 1536 channels in 24 layers, whatever was read.
    assert mamba.kept_bytes(1, "bfloat16") == mamba.kept_bytes(10_000, "bfloat16") == 24 * 1536 * 20 * 2


def test_a_long_prompt_is_limited_by_arithmetic() -> None:
    """On a Gaudi 2, 4096 tokens of a model of 8 billion weights take 0.14 s to compute, and 6 ms to read."""
    llama = shipped_model("llama3.1-8b").full
    prompt = roofline(case("llama3.1-8b", prompt_tokens=4096, new_tokens=1), llama, device("gaudi2"))
    assert prompt is not None and prompt.computing_s == prompt.limit_s
    products = 2 * (llama.parameters - 2 * 128256 * 4096) * 4096 + 2 * 128256 * 4096
    attention = 4 * 32 * 32 * 128 * (4096 * 4097 // 2)
    assert prompt.limit_s == pytest.approx((products + attention) / 432e12, rel=1e-3) == pytest.approx(0.1425, rel=1e-3)
    both = roofline(case("llama3.1-8b", prompt_tokens=4096, new_tokens=2), llama, device("gaudi2"))
    assert both is not None and both.computing_s == pytest.approx(prompt.limit_s) and both.limit_s > prompt.limit_s
    short = roofline(case("llama3.1-8b"), llama, device("gaudi2"))
    assert short is not None and short.computing_s == 0.0
    many = roofline(case("llama3.1-8b", prompt_tokens=4096, new_tokens=1, batch_size=4), llama, device("gaudi2"))
    assert many is not None and many.limit_s == pytest.approx(4 * prompt.limit_s)
