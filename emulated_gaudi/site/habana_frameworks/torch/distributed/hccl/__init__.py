"""hccl, emulated: a gloo group that operations on hpu tensors reach through the device's fallback."""

import os

import torch.distributed as dist

from habana_frameworks.torch.hpu import HABANA_VISIBLE_MODULES_VAR, HLS_MODULE_ID_VAR


def _setup_module_id(local_rank, world_size):
    if HLS_MODULE_ID_VAR in os.environ or local_rank == -1 or world_size == 1:
        return
    modules = os.environ.get(HABANA_VISIBLE_MODULES_VAR)
    visible = modules.split(",") if modules else None
    assert visible is None or local_rank < len(visible), (
        "There is not enough devices available for training. "
        f"Please verify if {HABANA_VISIBLE_MODULES_VAR} is set correctly."
    )
    os.environ[HLS_MODULE_ID_VAR] = visible[local_rank] if visible else str(local_rank)


def _setup_environment_from_mpi():
    mapping = {
        "OMPI_COMM_WORLD_LOCAL_RANK": "LOCAL_RANK",
        "OMPI_COMM_WORLD_SIZE": "WORLD_SIZE",
        "OMPI_COMM_WORLD_RANK": "RANK",
    }
    if all(name in os.environ for name in mapping.values()):
        return
    if all(name in os.environ for name in mapping):
        for theirs, ours in mapping.items():
            os.environ[ours] = os.environ[theirs]
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", "12345")


def initialize_distributed_hpu(world_size=None, rank=None, local_rank=None):
    if all(v is not None for v in [world_size, rank, local_rank]):
        os.environ.update(WORLD_SIZE=str(world_size), RANK=str(rank), LOCAL_RANK=str(local_rank))
    else:
        _setup_environment_from_mpi()
    world_size = int(os.getenv("WORLD_SIZE", 1))
    rank = int(os.getenv("RANK", -1))
    local_rank = int(os.getenv("LOCAL_RANK", -1))
    _setup_module_id(local_rank, world_size)
    if rank != -1:
        os.environ["ID"] = str(rank)
    return world_size, rank, local_rank


initialize_distributed_hpu()


def _create_process_group_hccl(store, rank, size, timeout):
    return dist.ProcessGroupGloo(store, rank, size, timeout)


dist.Backend.register_backend("hccl", _create_process_group_hccl, devices=["hpu"])
# Beyond the bridge: tensors of the host travel too (DeepSpeed and transformers use them for objects).
dist.Backend.backend_capability["hccl"] = ["hpu", "cpu"]
