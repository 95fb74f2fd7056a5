"""The matrix of cases, and why a machine cannot run one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from gaudi_perf.accelerators.base import Accelerator, Found
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Case, Configuration, Mode
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.workload import FP8, carried_in


def configurations(models: Iterable[str], devices: Iterable[int], modes: Iterable[Mode]) -> Iterator[Configuration]:
    """Every configuration, those of a (model, device count) one after the other, so that each is loaded once."""
    for model, count, mode, kv_cache in product(models, sorted(set(devices)), modes, (True, False)):
        yield Configuration.of(model, count, mode, kv_cache)


def why_not(case: Case, built: Architecture, accelerator: Accelerator, found: Found, *, batches: bool = False) -> str:
    """Why this machine cannot run a case of a model that is made so, or complete batches of a dataset as it does; in
    numbers; empty if it can.
    """
    configuration = case.configuration
    if configuration.devices > found.count:
        return f"needs {counted(configuration.devices, 'device')}, found {found.count}"
    reason = (
        _of_sizes(case, built, found)
        or _of_family(configuration, built, accelerator)
        or _of_search(case, built, accelerator)
        or _of_fp8(case, built, accelerator)
        or accelerator.cannot_run(configuration.static, configuration.devices)
    )
    if not reason and batches and configuration.graphs and not accelerator.batches_with_graphs:
        return f"on {accelerator.name} datasets are completed without graphs so far: add --eager, or -k eager to pytest"
    return reason


def _of_sizes(case: Case, built: Architecture, found: Found) -> str:
    """Why a workload is too large for the model, or for the memory of the devices."""
    configuration, workload = case.configuration, case.workload
    positions = workload.prompt_tokens + workload.new_tokens - 1  # the last token is never fed back
    if built.positions is not None and positions > built.positions:
        return f"needs {positions} positions, and the model has {built.positions}"
    if found.memory_bytes is None:
        return ""
    room = f"{configuration.devices} x {_gigabytes(found.memory_bytes)}"
    weights = built.weight_bytes(carried_in(workload.dtype))  # FP8 is made on the device
    left = configuration.devices * found.memory_bytes
    if weights > left:
        return f"{_gigabytes(weights)} of weights do not fit in {room}"
    cache = workload.sequences * built.kept_bytes(positions, workload.dtype) if configuration.kv_cache else 0
    if weights + cache > left:
        return f"{_gigabytes(weights)} of weights and {_gigabytes(cache)} of KV cache do not fit in {room}"
    return ""


def _of_family(configuration: Configuration, built: Architecture, accelerator: Accelerator) -> str:
    """Why an architecture does not generate so."""
    family, devices = built.of_family, configuration.devices
    if devices > 1 and (not family.split or (built.configuration.get("alibi") and built.family != "bloom")):
        return f"models of the architecture {built.family} cannot be divided among devices"
    for name, size in built.divided.items():
        if size % devices:
            return f"{size} {name} do not divide among {devices} devices"
    if configuration.compiled and accelerator.no_compile:
        return accelerator.no_compile
    static_cache = configuration.static and configuration.kv_cache and accelerator.transformers_steps
    if static_cache and family.no_static_cache:
        what = "graphs need" if configuration.graphs else "compile needs"
        return f"{what} a KV cache of fixed length: {family.no_static_cache}"
    return ""


def _of_fp8(case: Case, built: Architecture, accelerator: Accelerator) -> str:
    """Why a model cannot be put into FP8, or not generate in it so."""
    if case.workload.dtype not in FP8:
        return ""
    if built.of_family.no_fp8:
        return f"{built.family} in FP8: {built.of_family.no_fp8}"
    if built.experts and case.configuration.static and accelerator.transformers_steps:
        return "experts in FP8 are computed one by one, as the tokens choose them: take eager"
    return accelerator.why_no_fp8(case.configuration, built, case.workload.dtype)


def _of_search(case: Case, built: Architecture, accelerator: Accelerator) -> str:
    """Why a search that is not greedy cannot be done so."""
    search, configuration = case.workload.search, case.configuration
    if search and accelerator.no_search:
        return accelerator.no_search
    if search and configuration.static and accelerator.transformers_steps:
        return f"{search} is transformers' own generate, without graphs: take eager"
    if case.workload.top_k and not configuration.kv_cache:
        return f"{search} needs the KV cache"
    if search and configuration.kv_cache and built.of_family.kind == "state-space":
        return f"{search} needs keys and values of each sequence, and {built.family} keeps a state that is not divided"
    return ""


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.0f} GB" if size >= 10e9 else f"{size / 1e9:.1f} GB"
