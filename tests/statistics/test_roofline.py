"""The memory's limit, against numbers that were worked out by hand or by another way of counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gaudi_perf.statistics.roofline import generation_bytes, roofline, roofline_of, step_bytes
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.bandwidth import PUBLISHED
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
        (prompt + new - 1) * row + held * shape.kv_bytes_per_token("bfloat16")
    )
    assert generation_bytes(shape, workload, kv_cache=True) == cached
    uncached = new * shape.weight_bytes("bfloat16") + batch * row * sum(range(prompt, prompt + new))
    assert generation_bytes(shape, workload, kv_cache=False) == uncached


def test_bloomz7b_on_an_h100() -> None:
    """7 069 016 064 parameters of two bytes are 14.1 GB, which 3.35 TB/s bring in 4.22 ms."""
    limit = roofline(case(), BLOOMZ_7B, device())
    assert limit is not None
    assert BLOOMZ_7B.parameters == 7_069_016_064
    assert limit.limit_s == pytest.approx((100 * 14.138 + 5544 * 0.000492) / 3350, rel=1e-3)  # GB, over GB/s
    assert limit.share(2 * limit.limit_s) == pytest.approx(0.5)
    assert limit.bandwidth == PUBLISHED["h100-80gb"]


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
        assert bandwidth.source and 0.5e12 < bandwidth.bytes_per_s < 10e12, name
    assert PUBLISHED["gaudi"].bytes_per_s < PUBLISHED["gaudi2"].bytes_per_s < PUBLISHED["gaudi3"].bytes_per_s


def test_a_run_has_the_limit_of_what_it_measured() -> None:
    run = make_run(1.0)
    published = roofline_of(run)
    assert published is not None and published.bandwidth == PUBLISHED["gaudi2"]
    measured = roofline_of(replace(run, measurement=replace(run.measurement, memory_bandwidth=1e12)))
    assert measured is not None and measured.bandwidth.bytes_per_s == 1e12
    case = replace(run.case, configuration=replace(run.case.configuration, model="bloomz9000"))
    assert roofline_of(replace(run, case=case)) is None
