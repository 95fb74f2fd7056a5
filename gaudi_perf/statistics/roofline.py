"""The roofline: no generation is faster than its bytes can be read and its products be computed.

At batch 1 every new token needs every weight once, and a GPU or Gaudi multiplies faster than it reads; a long prompt,
or a large batch, is limited by arithmetic (Williams, Waterman and Patterson, Communications of the ACM 52 (4), 2009).
Counted is the least: activations stay on the chip, nothing is read twice in a step, devices share all evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Device
from gaudi_perf.vocabulary.workload import BYTES_PER_ELEMENT, FP8, Dtype, Workload

_MOST_STEPS = 256
"""Of a generation that are looked at one by one; with more, a report of 10,000 cases would take minutes."""


class Rate(NamedTuple):
    """Bytes that a device reads a second, or operations of dense matrix products that it does.

    The source is ``measured`` if it was measured on the very device.
    """

    per_s: float
    source: str


_ML_ENGINEERING = "github.com/stas00/ml-engineering, compute/accelerator"

PUBLISHED: Mapping[str, Rate] = {
    "gaudi": Rate(1.0e12, "Habana, Gaudi Training Platform White Paper: four HBM2 stacks"),
    "gaudi2": Rate(2.46e12, _ML_ENGINEERING),
    "gaudi3": Rate(3.70e12, _ML_ENGINEERING),
    "a100-40gb": Rate(1.555e12, "NVIDIA A100 datasheet, SXM 40 GB"),
    "a100-80gb": Rate(2.039e12, "NVIDIA A100 datasheet, SXM 80 GB"),
    "h100-80gb": Rate(3.35e12, "NVIDIA H100 datasheet, SXM 80 GB"),
    "h100-pcie": Rate(2.0e12, "NVIDIA H100 datasheet, PCIe 80 GB"),
    "h100-nvl": Rate(3.9e12, "NVIDIA H100 datasheet, NVL 94 GB"),
    "h200": Rate(4.8e12, "NVIDIA H200 datasheet, SXM 141 GB"),
}
"""By ``Device.name``. What a device reaches is a tenth or so less, so a measured bandwidth goes before these."""

ARITHMETIC: Mapping[str, Rate] = {
    "gaudi2": Rate(432e12, _ML_ENGINEERING),
    "gaudi3": Rate(1835e12, _ML_ENGINEERING),
    "a100-40gb": Rate(312e12, "NVIDIA A100 datasheet"),
    "a100-80gb": Rate(312e12, "NVIDIA A100 datasheet"),
    "h100-80gb": Rate(989e12, "NVIDIA H100 datasheet, SXM, without sparsity"),
}
"""By ``Device.name``, in bfloat16 and float16."""

FP8_ARITHMETIC: Mapping[str, Rate] = {
    "gaudi2": Rate(865e12, _ML_ENGINEERING),
    "gaudi3": Rate(1835e12, _ML_ENGINEERING),
    "h100-80gb": Rate(1979e12, "NVIDIA H100 datasheet, SXM, without sparsity"),
}
"""The same in FP8."""


@dataclass(frozen=True)
class Roofline:
    """The limit of a case.

    Attributes:
        generation_bytes: that all devices together must read for one generation.
        limit_s: the seconds that its steps take at least, each the longer of reading and, where ``arithmetic`` is
            known, computing.
        computing_s: of them those of steps that computing limits.
    """

    generation_bytes: int
    bandwidth: Rate
    limit_s: float
    arithmetic: Rate | None = None
    computing_s: float = 0.0

    def share(self, latency_s: float) -> float:
        """How close a generation of that latency comes: 0.85 is 85 % of the limit."""
        return self.limit_s / latency_s


def roofline(case: Case, built: Architecture, device: Device, measured: float | None = None) -> Roofline | None:
    """The limit of a case on a device, or None where the device's bandwidth is not known.

    Args:
        built: what the model was made of.
        measured: the bandwidth that was measured there, in bytes a second; it goes before the published one.
    """
    bandwidth = PUBLISHED.get(device.name) if measured is None else Rate(measured, "measured")
    if bandwidth is None:
        return None
    configuration, workload = case.configuration, case.workload
    published = FP8_ARITHMETIC if workload.dtype in FP8 else ARITHMETIC
    arithmetic = None if workload.dtype == "float32" else published.get(device.name)
    limit_s = computing_s = 0.0
    read = 0
    for count, new, cached in steps(workload, configuration.kv_cache):
        of_step = step_bytes(built, workload.dtype, new, cached, workload.batch_size)
        read, read_s = read + count * of_step, of_step / bandwidth.per_s
        compute_s = 0.0
        if arithmetic is not None:
            compute_s = workload.batch_size * built.operations(new, cached) / arithmetic.per_s
        limit_s += count * max(read_s, compute_s)
        computing_s += count * compute_s if compute_s > read_s else 0.0
    return Roofline(
        read,
        bandwidth,
        limit_s / configuration.devices,
        arithmetic,
        computing_s / configuration.devices,
    )


def roofline_of(run: Run) -> Roofline | None:
    """The limit of a run, by the bandwidth that it measured or by the published one; None where neither is.

    Neither have models of which it is not known what they were made of.
    """
    built = run.built
    return None if built is None else roofline(run.case, built, run.device, run.measurement.memory_bandwidth)


def steps(workload: Workload, kv_cache: bool) -> Iterator[tuple[int, int, int]]:
    """How many steps have, about, so many new and cached positions: the prompt in one, then one for every new token but
    the first.

    Seven prompt tokens and 100 new ones are 100 steps; the last new token is never fed back. Of more than
    ``_MOST_STEPS`` that many stand for all, each for its neighbours too: bytes and operations are nearly linear in the
    length between them.
    """
    prompt, more = workload.prompt_tokens, workload.new_tokens - 1
    yield 1, prompt, 0
    parts = min(more, _MOST_STEPS)
    for part in range(parts):
        first, after = more * part // parts, more * (part + 1) // parts
        length = prompt + 1 + (first + after - 1 + part % 2) // 2  # halves are rounded down and up in turns
        new = 1 if kv_cache else length
        yield after - first, new, length - new


def generation_bytes(built: Architecture, workload: Workload, kv_cache: bool) -> int:
    """Bytes that the steps of a generation must read."""
    return sum(
        count * step_bytes(built, workload.dtype, new, cached, workload.batch_size)
        for count, new, cached in steps(workload, kv_cache)
    )


def step_bytes(built: Architecture, dtype: Dtype, new: int, cached: int = 0, batch_size: int = 1) -> int:
    """Bytes that a step must read that processes ``new`` positions of each sequence and finds ``cached`` ones.

    The weights that it needs once, of experts those that are chosen; a row of the embedding for every new position;
    keys and values of the cached positions, as far as windows reach, in every sequence.
    """
    size, tokens = BYTES_PER_ELEMENT[dtype], new * batch_size
    weights = built.weights_read(tokens) + tokens * built.hidden_size
    return weights * size + batch_size * built.kept_bytes(cached, dtype)
