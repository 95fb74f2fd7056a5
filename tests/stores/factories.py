"""Runs and stores for these tests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.run import Measurement, Run, TokenTimes, WarmUp
from gaudi_perf.vocabulary.stack import Device, Host, Stack
from gaudi_perf.vocabulary.workload import Dtype, Workload

_numbers = itertools.count()


def make_run(
    latency: float | Sequence[float] = 1.0,
    *,
    run_id: str | None = None,
    session: str = "session-1",
    started_at: str = "2026-01-31T12:00:00Z",
    model: str = "bloomz7b",
    devices: int = 1,
    graphs: bool = True,
    kv_cache: bool = True,
    device: str = "gaudi2",
    version: str = "1.22.0",
    components: Mapping[str, str] | None = None,
    cpu: str = "Xeon 8380",
    scale: Scale = "full",
    weights: str = "dummy",
    dtype: Dtype = "bfloat16",
    new_tokens: int = 100,
    steady: bool = True,
    problems: Sequence[str] = (),
    contradicts: Sequence[str] = (),
    probes: Sequence[float] | None = None,
    token_ids: Sequence[int] = (3, 1, 4),
) -> Run:
    """A run on a pretended Gaudi2, of another name each time."""
    latencies = [latency] * 5 if isinstance(latency, (int, float)) else list(latency)
    return Run(
        run_id=run_id or f"run-{next(_numbers):06d}",
        session_id=session,
        started_at=started_at,
        case=Case(
            configuration=Configuration(model=model, devices=devices, graphs=graphs, kv_cache=kv_cache),
            accelerator="hpu",
            workload=Workload(new_tokens=new_tokens, dtype=dtype),
            scale=scale,
            weights=weights,
        ),
        device=Device(name=device, accelerator="hpu", memory_bytes=96 * 10**9, available=8),
        stack=Stack(kind="synapse", version=version, components=dict(components or {"driver": version})),
        host=Host(cpu=cpu, cores=80, memory_bytes=2**40),
        measurement=Measurement(
            latencies_s=latencies,
            warm_up=WarmUp(latencies_s=[2.0, 1.0], steady=steady, reason="two alike" if steady else "limit"),
            token_times=TokenTimes(first_token_s=[0.1], per_output_token_s=[0.01]),
            peak_memory_bytes=10**9,
            token_ids=list(token_ids),
            problems=list(problems),
            contradicts=list(contradicts),
            probes_s=None if probes is None else list(probes),
        ),
    )


def make_runs(latency: float = 1.0, count: int = 5, **fields: object) -> list[Run]:
    """Several runs of a case, whose levels spread by 1 % around ``latency``."""
    spread = [0.0, -0.01, 0.01, -0.005, 0.005]
    return [make_run(latency * (1 + spread[index % 5]), **fields) for index in range(count)]  # type: ignore[arg-type]
