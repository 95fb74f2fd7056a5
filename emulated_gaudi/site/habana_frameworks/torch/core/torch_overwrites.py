"""What the bridge changes in torch. Not emulated: names of modules in hooks, and torch.save and torch.load of its own."""

import functools

import torch

from habana_frameworks.torch import hpu


def overwrite_torch_functions():
    default_device = torch.distributed.distributed_c10d._get_pg_default_device
    record_stream, fork_rng = torch.Tensor.record_stream, torch.random.fork_rng

    @functools.wraps(default_device)
    def _get_pg_default_device(group=None):
        backend = torch.distributed.get_backend(group)
        return torch.device("hpu") if backend == "hccl" else default_device(group)

    @functools.wraps(record_stream)
    def record(self, stream):
        return hpu.record_stream(self, stream) if self.device.type == "hpu" else record_stream(self, stream)

    @functools.wraps(fork_rng)
    def fork(devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type=None):
        return fork_rng(devices, enabled, _caller, _devices_kw, device_type or "hpu")

    torch.distributed.distributed_c10d._get_pg_default_device = _get_pg_default_device
    torch.Tensor.record_stream = record
    torch.random.fork_rng = fork
