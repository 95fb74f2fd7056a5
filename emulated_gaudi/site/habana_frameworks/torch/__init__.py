"""EMULATED bridge: compiles (once) and loads the device, then registers it with torch as the bridge does."""

import habana_frameworks.autoload

habana_frameworks.autoload.is_loaded = True

import torch

from habana_frameworks.torch import _device

_device.start()

from habana_frameworks.torch import _operators
from habana_frameworks.torch import core, hpu
from habana_frameworks.torch.distributed import hccl


def _to_hpu(self, device=None, non_blocking=False, memory_format=torch.preserve_format):
    return self.to("hpu", non_blocking=non_blocking, memory_format=memory_format)


torch.Tensor.hpu = _to_hpu
torch.nn.Module.hpu = lambda self, device=None: self.to("hpu")
if not hasattr(torch.Tensor, "is_hpu"):
    torch.Tensor.is_hpu = property(lambda self: self.device.type == "hpu")
