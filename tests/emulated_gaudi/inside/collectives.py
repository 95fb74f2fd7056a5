"""hccl over gloo, one process of two: RANK, WORLD_SIZE and the like are set by the caller."""

import os

import habana_frameworks.torch.hpu as hpu
import torch
import torch.distributed as dist
from habana_frameworks.torch.distributed.hccl import initialize_distributed_hpu
from helpers import raises

torch.set_num_threads(1)
world, rank, local_rank = initialize_distributed_hpu()
dist.init_process_group("hccl", rank=rank, world_size=world)


def on_device(*values):
    return torch.tensor(values, device="hpu", dtype=torch.float32)


def check_each_rank_has_its_own_device_and_account():
    assert (world, rank, local_rank) == (2, int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]))
    assert os.environ["HLS_MODULE_ID"] == str(rank) and os.environ["ID"] == str(rank)
    assert on_device(1.0).device == torch.device("hpu", rank) and hpu.current_device() == rank
    before = hpu.memory_allocated()
    kept = torch.empty((rank + 1) * 2**20, dtype=torch.uint8, device="hpu")
    assert hpu.memory_allocated() - before == kept.numel()
    import pyhlml

    dist.barrier()
    pyhlml.hlmlInit()
    other = pyhlml.hlmlDeviceGetMemoryInfo(pyhlml.hlmlDeviceGetHandleByIndex(1 - rank))
    assert other.used >= (2 - rank) * 2**20
    dist.barrier()


def check_collectives():
    x = on_device(rank + 1.0)
    dist.all_reduce(x)
    assert x.item() == 3
    parts = [on_device(0.0), on_device(0.0)]
    dist.all_gather(parts, on_device(float(rank)))
    assert [p.item() for p in parts] == [0, 1]
    whole = on_device(0.0, 0.0)
    dist.all_gather_into_tensor(whole, on_device(float(rank)))
    assert whole.cpu().tolist() == [0, 1]
    b = on_device(float(rank))
    dist.broadcast(b, 1)
    assert b.item() == 1
    s = on_device(0.0)
    dist.reduce_scatter_tensor(s, on_device(1.0, 2.0))
    assert s.item() == 2 * (rank + 1)
    work = dist.all_reduce(x, async_op=True)
    work.wait()
    assert x.item() == 6
    if rank == 0:
        dist.send(on_device(9.0), 1)
    else:
        got = on_device(0.0)
        dist.recv(got, 0)
        assert got.item() == 9
    objects = [None, None]
    dist.all_gather_object(objects, {"rank": rank})
    assert objects == [{"rank": 0}, {"rank": 1}]
    group = dist.new_group([0, 1])
    dist.all_reduce(x, group=group)
    assert x.item() == 12


def check_a_collective_inside_a_graph():
    with torch.inference_mode():

        def function(x):
            y = x * 2
            dist.all_reduce(y)
            return y + 1

        wrapped = hpu.wrap_in_hpu_graph_func(function)
        assert wrapped(on_device(rank + 1.0)).item() == 7
        assert wrapped(on_device(rank + 10.0)).item() == 43


def check_a_collective_inside_a_graph_needs_lazy_collectives():
    from habana_frameworks.torch import _device

    start = (8, rank, 2**30, rank, True)
    _device.native.start(*start, False)
    with torch.inference_mode(), raises(RuntimeError, "PT_HPU_ENABLE_LAZY_COLLECTIVES=true"):
        hpu.wrap_in_hpu_graph_func(lambda x: dist.all_reduce(x))(on_device(1.0))
    _device.native.start(*start, True)


def check_goodbye():
    dist.barrier()
    dist.destroy_process_group()
