"""The part of utils.experimental that optimum-habana, accelerate and DeepSpeed ask for."""

import enum

import habana_frameworks.torch.hpu as hpu
from habana_frameworks.torch._device import NotEmulatedError, settings


class synDeviceType(enum.IntEnum):
    """Values: only their being distinct is known to be right; the public sources give the names."""

    synDeviceGaudi = 1
    synDeviceGaudi2 = 4
    synDeviceGaudi3 = 5


_TYPES = {
    "gaudi": synDeviceType.synDeviceGaudi,
    "gaudi2": synDeviceType.synDeviceGaudi2,
    "gaudi3": synDeviceType.synDeviceGaudi3,
}


def _get_device_type():
    return _TYPES[settings.generation]


def _is_fp16_supported():
    return _get_device_type() != synDeviceType.synDeviceGaudi


def _data_ptr(t):
    return t.data_ptr() if hpu.is_available() else 0


def _compute_stream():
    return 0


_quantization = {"dynamic": False, "hw_aligned": False, "hash_id": 0}


def _set_is_dynamic_quantization(is_dynamic_quantization):
    """Remembered; nothing is compiled that would use it. Newer than v1.19.0."""
    _quantization["dynamic"] = bool(is_dynamic_quantization)


def _set_scale_attributes(is_hw_aligned, scale_hash_id):
    """Remembered; nothing is compiled that would use it."""
    _quantization.update(hw_aligned=bool(is_hw_aligned), hash_id=int(scale_hash_id))


def _get_scale_attribute_hash_id():
    return _quantization["hash_id"]


def __getattr__(name):
    if name in (
        "_record_params",
        "_set_profiler_tracer_memory",
        "_reset_device_memory",
        "data_dynamicity",
        "const_shape_dataloader",
        "detect_recompilation_auto_model",
    ):
        raise NotEmulatedError(f"habana_frameworks.torch.utils.experimental.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
