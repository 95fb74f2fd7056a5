"""Device indices, as the bridge resolves them."""

import os

import torch

from habana_frameworks.torch import _device

HABANA_VISIBLE_MODULES_VAR = "HABANA_VISIBLE_MODULES"
HLS_MODULE_ID_VAR = "HLS_MODULE_ID"


def _get_device_index(device, optional=False, allow_cpu=False):
    if isinstance(device, str):
        device = torch.device(device)
    if isinstance(device, torch.device):
        if allow_cpu and device.type not in ("hpu", "cpu"):
            raise ValueError(f"Expected a hpu or cpu device, but got: {device}")
        if not allow_cpu and device.type != "hpu":
            raise ValueError(f"Expected a hpu device, but got: {device}")
        device = -1 if device.type == "cpu" else device.index
    if device is None:
        if not optional:
            raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
        device = _device.index
    return device


def _checked_index(device):
    index = _get_device_index(device, optional=True)
    if index < 0 or index >= _device.settings.devices:
        raise AssertionError("Invalid device id")
    return index


def _own_index(device):
    """For what only the process that owns a device can know: its memory account."""
    index = _checked_index(device)
    if index != _device.index:
        raise _device.NotEmulatedError(
            f"the memory account of hpu:{index} in the process that owns hpu:{_device.index}"
        )
    return index


def _get_module_id_from_environ():
    return int(os.getenv(HLS_MODULE_ID_VAR) or -1)


def _get_available_modules_from_environ():
    return _device.visible_modules()
