"""The memory's limit: no generation is faster than its bytes can be read.

At batch 1, every new token needs every weight once, and a GPU or Gaudi multiplies faster than it reads: the roofline
model (Williams, Waterman and Patterson, Communications of the ACM 52 (4), 2009). Counted are the fewest bytes:
activations stay on the chip, nothing is read twice in a step, devices share weights and cache evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.bandwidth import PUBLISHED, Bandwidth
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Device
from gaudi_perf.vocabulary.workload import BYTES_PER_ELEMENT, Dtype, Workload


@dataclass(frozen=True)
class Roofline:
    """The limit of a case: bytes that all devices together must read for one generation, and the seconds that takes."""

    generation_bytes: int
    bandwidth: Bandwidth
    limit_s: float

    def share(self, latency_s: float) -> float:
        """How close a generation of that latency comes: 0.85 is 85 % of the limit."""
        return self.limit_s / latency_s


def roofline(case: Case, built: Architecture, device: Device, measured: float | None = None) -> Roofline | None:
    """The memory's limit for a case on a device, or None where the device's bandwidth is not known.

    Args:
        built: what the model was made of.
        measured: the bandwidth that was measured there, in bytes a second; it goes before the published one.
    """
    bandwidth = PUBLISHED.get(device.name) if measured is None else Bandwidth(measured, "measured")
    if bandwidth is None:
        return None
    configuration = case.configuration
    total = generation_bytes(built, case.workload, configuration.kv_cache)
    return Roofline(total, bandwidth, limit_s=total / (bandwidth.bytes_per_s * configuration.devices))


def roofline_of(run: Run) -> Roofline | None:
    """The memory's limit of a run, by the bandwidth that it measured or by the published one; None where neither is.

    Neither have models of which it is not known what they were made of.
    """
    built = run.built
    return None if built is None else roofline(run.case, built, run.device, run.measurement.memory_bandwidth)


def generation_bytes(built: Architecture, workload: Workload, kv_cache: bool) -> int:
    """Bytes that a generation must read: the prompt in one step, then a step for every new token but the first.

    Seven prompt tokens and 100 new ones are 100 steps; the last new token is never fed back.
    """
    prompt, total = workload.prompt_tokens, 0
    for length in range(prompt, prompt + workload.new_tokens):
        new = length if length == prompt or not kv_cache else 1
        total += step_bytes(built, workload.dtype, new, length - new, workload.batch_size)
    return total


def step_bytes(built: Architecture, dtype: Dtype, new: int, cached: int = 0, batch_size: int = 1) -> int:
    """Bytes that a step must read that processes ``new`` positions of each sequence and finds ``cached`` ones.

    All weights once; the embedding is also the output head, which every step reads whole, and as the embedding one
    more row for every new position. Keys and values of the cached positions, in every sequence.
    """
    rows = new * batch_size * built.hidden_size * BYTES_PER_ELEMENT[dtype]
    return built.weight_bytes(dtype) + rows + cached * batch_size * built.kv_bytes_per_token(dtype)
