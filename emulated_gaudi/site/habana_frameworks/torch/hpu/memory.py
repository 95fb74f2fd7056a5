"""The memory account of this process's device, in the bridge's words. Its pool has no slack: reserved is the limit."""

import warnings

from habana_frameworks.torch import _device

from ._utils import _checked_index, _own_index


def memory_stats(device=None):
    _own_index(device)
    m = _device.native.memory()
    return {
        "Limit": m["limit"],
        "InUse": m["in_use"],
        "MaxInUse": m["peak"],
        "NumAllocs": m["allocations"],
        "NumFrees": m["frees"],
        "ActiveAllocs": m["allocations"] - m["frees"],
        "MaxAllocSize": m["largest"],
        "TotalSystemAllocs": m["total_allocations"],
        "TotalSystemFrees": m["total_frees"],
        "TotalActiveAllocs": m["total_allocations"] - m["total_frees"],
    }


def max_memory_allocated(device=None):
    return memory_stats(device)["MaxInUse"]


def memory_allocated(device=None):
    return memory_stats(device)["InUse"]


def reset_peak_memory_stats(device=None):
    _own_index(device)
    _device.native.reset_peak()


def reset_max_memory_allocated(device=None):
    """DeepSpeed calls it; the public bridge (1.19) has only reset_peak_memory_stats."""
    reset_peak_memory_stats(device)


def reset_accumulated_memory_stats(device=None):
    _own_index(device)
    _device.native.clear_accumulated()


def memory_summary(device=None):
    index = _checked_index(device)
    lines = ["=" * 52, f" PyTorch HPU memory summary, device ID {index} ", "-" * 52]
    for key, value in memory_stats(device).items():
        amount = f"{value}" if "Allocs" in key or "Frees" in key else f"{value} ({value / 1024**3:.2f}) GB"
        lines.append(f"  {key + ':':<20} {amount}")
    return "\n".join(lines) + "\n"


def memory_reserved(device=None):
    return memory_stats(device)["Limit"]


def max_memory_reserved(device=None):
    return memory_stats(device)["Limit"]


def memory_cached(device=None):
    warnings.warn("torch.hpu.memory_cached has been renamed to torch.hpu.memory_reserved", FutureWarning)
    return memory_reserved(device)


def max_memory_cached(device=None):
    warnings.warn("torch.hpu.max_memory_cached has been renamed to torch.hpu.max_memory_reserved", FutureWarning)
    return max_memory_reserved(device)


def mem_get_info(device=None):
    stats = memory_stats(device)
    return (stats["Limit"] - stats["InUse"], stats["Limit"])


def empty_cache():
    """Nothing is cached."""
