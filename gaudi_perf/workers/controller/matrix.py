"""The matrix of cases, and why a machine cannot run one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from gaudi_perf.accelerators.base import Accelerator, Found
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.models import MODELS, model_named


def configurations(devices: Iterable[int]) -> Iterator[Configuration]:
    """Every configuration, those of a (model, device count) one after the other, so that each is loaded once."""
    for model, count, graphs, kv_cache in product(MODELS, sorted(set(devices)), (True, False), (True, False)):
        yield Configuration(model=model, devices=count, graphs=graphs, kv_cache=kv_cache)


def why_not(case: Case, accelerator: Accelerator, found: Found, *, batches: bool = False) -> str:
    """Why this machine cannot run a case, or complete batches of a dataset as it does; in numbers; empty if it can."""
    configuration = case.configuration
    if configuration.devices > found.count:
        wanted = f"{configuration.devices} devices" if configuration.devices > 1 else "1 device"
        return f"needs {wanted}, found {found.count}"
    shape = model_named(configuration.model).shape_at(case.scale)
    weights = shape.weight_bytes(case.workload.dtype)
    if found.memory_bytes is not None and weights > configuration.devices * found.memory_bytes:
        room = f"{configuration.devices} x {_gigabytes(found.memory_bytes)}"
        return f"{_gigabytes(weights)} of weights do not fit in {room}"
    if shape.heads % configuration.devices:
        return f"{shape.heads} attention heads do not divide among {configuration.devices} devices"
    reason = accelerator.cannot_run(configuration.graphs, configuration.devices)
    if not reason and batches and configuration.graphs and not accelerator.batches_with_graphs:
        return f"on {accelerator.name} datasets are completed without graphs so far: add --eager, or -k eager to pytest"
    return reason


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.0f} GB" if size >= 10e9 else f"{size / 1e9:.1f} GB"
