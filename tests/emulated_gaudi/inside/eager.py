"""Eager mode, the default since SynapseAI 1.21: gaudi3, 2 devices, no variable of PT_HPU_* set by the caller."""

import sys

import torch

AUTOLOADED = "habana_frameworks.torch" in sys.modules

import habana_frameworks.torch.core as htcore  # noqa: E402
import habana_frameworks.torch.hpu as hpu  # noqa: E402
import habana_frameworks.torch.utils.experimental as htexp  # noqa: E402
from habana_frameworks.torch.hpu.metrics import metric_localcontext  # noqa: E402
from helpers import raises  # noqa: E402


def check_torch_loads_the_bridge_by_itself():
    assert AUTOLOADED


def check_there_are_no_graphs():
    assert not hasattr(hpu, "wrap_in_hpu_graph") and not hasattr(hpu, "HPUGraph")
    with raises(ImportError, "wrap_in_hpu_graph"):
        from habana_frameworks.torch.hpu import wrap_in_hpu_graph  # noqa: F401


def check_step_markers_do_nothing():
    htcore.mark_step()
    htcore.add_step_closure(lambda: 1 / 0)
    htcore.mark_step()


def check_no_compilation_is_announced():
    with metric_localcontext("graph_compilation") as compiled:
        torch.ones(123, device="hpu") + 1
        hpu.synchronize()
    assert dict(compiled.stats())["TotalNumber"] == 0
    with raises(Exception, "recipe_cache"), metric_localcontext("recipe_cache"):
        pass  # only with PT_HPU_ENABLE_CACHE_METRICS


def check_the_generation():
    assert hpu.get_device_name() == "GAUDI3" and hpu.device_count() == 2 and hpu.current_device() == 0
    assert htexp._get_device_type() == htexp.synDeviceType.synDeviceGaudi3
    assert hpu.memory_stats()["Limit"] == 128 * 1024**3


def check_gaudi3_has_the_whole_range_of_fp8():
    cast, _ = torch.ops.hpu.cast_to_fp8_v2(
        torch.tensor([1e6, 300.0], device="hpu"), 1.0, False, False, torch.float8_e4m3fn
    )
    assert cast.cpu().float().tolist() == [448, 288]


def check_autocast_takes_lists_from_files():
    """The caller names a file in which mm is not on the list of operators for bfloat16, and add is."""
    x = torch.ones(2, 2, device="hpu")
    with torch.autocast("hpu", dtype=torch.bfloat16):
        assert torch.mm(x, x).dtype == torch.float32 and (x + x).dtype == torch.bfloat16
