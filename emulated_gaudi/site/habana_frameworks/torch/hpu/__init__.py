"""torch.hpu, emulated. Names and behaviour follow the bridge's 1.19 sources; what is missing raises."""

import contextlib
import warnings

import torch

from habana_frameworks.torch import _device
from habana_frameworks.torch._device import NotEmulatedError, native, settings
from habana_frameworks.torch.utils.internal import is_lazy

from ._utils import (
    HABANA_VISIBLE_MODULES_VAR,
    HLS_MODULE_ID_VAR,
    _checked_index,
    _get_device_index,
)
from .memory import *
from .metrics import *
from .random import *
from .random import default_generators
from .streams import *

if is_lazy():
    from .graphs import *

_initialized = False


def init():
    global _initialized
    _initialized = True


_lazy_init = init


def is_initialized():
    return _initialized


def _is_in_bad_fork():
    return False


def is_available():
    return device_count() > 0


def device_count():
    return settings.devices


def current_device():
    init()
    return _device.index


def set_device(device):
    """One process owns one device, fixed when the bridge is loaded: any other that exists is silently this one."""
    _checked_index(device)


def get_device_name(device=None):
    _checked_index(device)
    return settings.product.device_name


def get_device_capability(device=None):
    """The driver's version, as in the bridge."""
    _checked_index(device)
    return settings.driver


def get_device_properties(device=None):
    """The bridge's string; what the emulation cannot know is 0, and the end says what this is."""
    index = _checked_index(device)
    return (
        "(sramBaseAddress=0, dramBaseAddress=0, sramSize=0, "
        f"dramSize={settings.memory_bytes}, tpcEnabledMask=0, dramEnabled=1, fd=0, device_id={index}, "
        f"device_type=emulated {settings.generation})"
    )


def can_device_access_peer(device, peer_device):
    if _checked_index(device) == _checked_index(peer_device):
        raise AssertionError("Both the ids are same.")
    return True


def get_arch_list():
    return [get_device_name()]


def get_gencode_flags():
    return ""


def synchronize(device=None):
    """Waits for the device. The bridge's takes no argument; torch.accelerator and others pass a device."""
    if device is not None:
        _get_device_index(device, optional=True)
    _device.synchronize()


def memory_usage(device=None):
    return memory_stats(device)["InUse"]


def utilization(device=None):
    import pyhlml

    index = _checked_index(device)
    pyhlml.hlmlInit()
    rates = pyhlml.hlmlDeviceGetUtilizationRates(pyhlml.hlmlDeviceGetHandleByIndex(index))
    pyhlml.hlmlShutdown()
    return rates


class device:
    def __init__(self, device):
        self.idx = _get_device_index(device, optional=True)

    def __enter__(self):
        set_device(self.idx)

    def __exit__(self, *exc):
        return False


class device_of(device):
    def __init__(self, obj):
        super().__init__(obj.get_device() if obj.is_hpu else _device.index)


# ---- determinism, autocast
def setDeterministic(val):
    warnings.warn("torch.hpu.setDeterministic is deprecated, use torch.use_deterministic_algorithms", stacklevel=2)
    torch.use_deterministic_algorithms(val)


def getDeterministic():
    warnings.warn("torch.hpu.getDeterministic is deprecated, use are_deterministic_algorithms_enabled", stacklevel=2)
    return torch.are_deterministic_algorithms_enabled()


def is_bf16_supported():
    return is_available()


def get_amp_supported_dtype():
    return [torch.bfloat16, torch.float32] + ([torch.float16] if settings.generation != "gaudi" else [])


def is_autocast_hpu_enabled():
    return torch.is_autocast_enabled("hpu")


def set_autocast_hpu_enabled(enabled):
    torch.set_autocast_enabled("hpu", enabled)


def get_autocast_hpu_dtype():
    return torch.get_autocast_dtype("hpu")


def set_autocast_hpu_dtype(dtype):
    torch.set_autocast_dtype("hpu", dtype)


# ---- switches of the compiler: kept, and without effect, since nothing is compiled
_switches = {"dynamic_shape": True, "recompute_sdp": False}


def enable_dynamic_shape():
    _switches["dynamic_shape"] = True


def disable_dynamic_shape():
    _switches["dynamic_shape"] = False


def get_dynamic_shape_status():
    return _switches["dynamic_shape"]


def _without_effect():
    """The bridge has no function that would tell them apart, either."""


enable_inference_mode = disable_inference_mode = enable_quantization = disable_quantization = _without_effect
enable_matmul3d_2d_reshape = disable_matmul3d_2d_reshape = _without_effect
enable_optim_output_sif = disable_optim_output_sif = _without_effect


def record_stream(tensor, stream):
    """The device is never behind the host: what a stream uses cannot be given to another too early."""
    if tensor.device.type != "hpu":
        raise RuntimeError(f"record_stream is for tensors on hpu, not on {tensor.device}")


def enable_recompute_sdp(enabled):
    _switches["recompute_sdp"] = bool(enabled)


def recompute_sdp_enabled():
    return _switches["recompute_sdp"]


@contextlib.contextmanager
def sdp_kernel(enable_recompute=True):
    before = recompute_sdp_enabled()
    enable_recompute_sdp(enable_recompute)
    try:
        yield {}
    finally:
        enable_recompute_sdp(before)


# ---- what only the emulation has: for tests, and for nobody who would like to run on a Gaudi
def emulated_counters():
    """Operations, captures, replays and the rest since the process began, as a dictionary."""
    return native.counters()


_ONLY_IN_THE_BRIDGE = {
    "enable_const_section_serialization",
    "disable_const_section_serialization",
    "set_sync_debug_mode",
    "get_sync_debug_mode",
    "get_stream_info",
    *(f"{kind}Tensor" for kind in "BFloat16 Bool Byte Char Double Float Half Int Long Short".split()),
}


def __getattr__(name):
    if name in _ONLY_IN_THE_BRIDGE:
        raise NotEmulatedError(f"habana_frameworks.torch.hpu.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
