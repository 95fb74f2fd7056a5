"""HPU graphs: what is captured, what is replayed, and that nothing else happens in a replay."""

import gc
import os

import habana_frameworks.torch.hpu as hpu
import torch
from helpers import raises

torch.set_num_threads(1)


def counted(function):
    before = hpu.emulated_counters()
    result = function()
    after = hpu.emulated_counters()
    return result, after["captures"] - before["captures"], after["replays"] - before["replays"]


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        self.calls = 0
        self.factor = 2.0

    def forward(self, x, state=None, negative=False):
        self.calls += 1
        y = self.linear(x) * torch.tensor(self.factor, device=x.device)
        if negative:
            y = -y
        if state is not None:
            state.add_(1)
        return {"y": y, "part": y[:, 1:3], "total": y.sum()}


def model():
    torch.manual_seed(0)
    return Model().eval().to("hpu")


def expected(m, x, factor=2.0):
    return torch.nn.functional.linear(x, m.linear.weight.cpu(), m.linear.bias.cpu()) * factor


def check_the_first_call_is_captured_and_the_next_replayed():
    with torch.inference_mode():
        m = model()
        wrapped = hpu.wrap_in_hpu_graph(m)
        assert wrapped is m
        a, b = torch.randn(2, 4), torch.randn(2, 4)
        first, captures, replays = counted(lambda: wrapped(a.to("hpu")))
        assert (captures, replays) == (1, 0) and torch.equal(first["y"].cpu(), expected(m, a))
        second, captures, replays = counted(lambda: wrapped(b.to("hpu")))
        assert (captures, replays) == (0, 1)
        assert second is first  # the buffers of the capture
        assert torch.equal(second["y"].cpu(), expected(m, b))
        assert torch.equal(second["part"].cpu(), expected(m, b)[:, 1:3])
        assert torch.allclose(second["total"].cpu(), expected(m, b).sum())
        assert m.calls == 1


def check_a_replay_freezes_host_values_and_control_flow():
    with torch.inference_mode():

        def function(x):
            if x.sum().item() > 0:
                return x * python["factor"]
            return x - 100

        python = {"factor": 3.0}
        wrapped = hpu.wrap_in_hpu_graph_func(function)
        assert wrapped(torch.ones(2, device="hpu")).cpu().tolist() == [3, 3]
        python["factor"] = 5.0
        assert wrapped(torch.full((2,), -1.0, device="hpu")).cpu().tolist() == [-3, -3]  # wrong, as on a Gaudi


def check_a_copy_from_the_host_is_that_of_the_capture():
    with torch.inference_mode():
        host = torch.ones(2)
        wrapped = hpu.wrap_in_hpu_graph_func(lambda x: x + host.to("hpu"))
        x = torch.zeros(2, device="hpu")
        wrapped(x)
        host.fill_(9)
        assert wrapped(x).cpu().tolist() == [1, 1]


def check_outputs_that_a_kernel_made_are_written_in_place():
    with torch.inference_mode():
        a, b = torch.randn(2, 4), torch.randn(2, 4)
        for function in (
            lambda x: torch.nn.functional.layer_norm(x, (4,)),
            lambda x: torch.nn.functional.embedding((x > 0).long(), torch.arange(6.0, device=x.device).view(2, 3)),
            lambda x: x.sort(dim=-1).values,
            lambda x: torch.nn.functional.one_hot((x > 0).long(), 3),
        ):
            wrapped = hpu.wrap_in_hpu_graph_func(function)
            kept = wrapped(a.to("hpu"))
            assert torch.equal(kept.cpu(), function(a))
            assert wrapped(b.to("hpu")) is kept and torch.equal(kept.cpu(), function(b))


def check_outputs_are_overwritten_by_the_next_replay():
    with torch.inference_mode():
        wrapped = hpu.wrap_in_hpu_graph_func(lambda x: x + 1)
        kept = wrapped(torch.zeros(1, device="hpu"))
        wrapped(torch.ones(1, device="hpu"))
        assert kept.item() == 2


def check_changes_in_place_happen_once_for_each_call():
    with torch.inference_mode():
        wrapped = hpu.wrap_in_hpu_graph(model())
        state, x = torch.zeros(1, device="hpu"), torch.ones(1, 4, device="hpu")
        for i in range(1, 5):
            wrapped(x, state)
            assert state.item() == i


def check_inputs_of_another_shape_or_value_are_captured_anew():
    with torch.inference_mode():
        wrapped = hpu.wrap_in_hpu_graph(model())
        x = torch.ones(2, 4, device="hpu")
        assert counted(lambda: wrapped(x))[1] == 1
        assert counted(lambda: wrapped(torch.ones(3, 4, device="hpu")))[1] == 1
        assert counted(lambda: wrapped(x, negative=True))[1] == 1
        assert counted(lambda: wrapped(x, negative=True))[1:] == (0, 1)
        assert counted(lambda: wrapped(torch.ones(4, 2, device="hpu").t()))[1] == 1  # a view
        assert counted(lambda: wrapped(x))[1:] == (0, 1)


def check_the_hash_is_that_of_the_bridge():
    x = torch.ones(2, 4, device="hpu")
    assert hpu.input_hash((x, {"a": 1})) == hpu.input_hash((x + 1, {"a": 1}))
    assert hpu.input_hash(x) == hpu.input_hash(x.to(torch.bfloat16))  # the type does not count
    assert hpu.input_hash(x) != hpu.input_hash(x.cpu().view(4, 2).to("hpu"))
    assert hpu.input_hash([1, True, None]) != hpu.input_hash([1, False, None])


def check_copy_to():
    destination, source = {"a": [torch.zeros(1, device="hpu")]}, {"a": [torch.ones(1, device="hpu")]}
    hpu.copy_to(destination, source)
    assert destination["a"][0].item() == 1
    with raises(AssertionError, ""):
        hpu.copy_to({"a": 1}, [1])


def check_bypass_maximum_and_clearing():
    with torch.inference_mode():
        m = model()
        wrapped = hpu.wrap_in_hpu_graph(m, max_graphs=1)
        x = torch.ones(2, 4, device="hpu")
        assert counted(lambda: wrapped(x, bypass_hpu_graphs=True))[1:] == (0, 0)
        assert counted(lambda: wrapped(x))[1:] == (1, 0)
        assert counted(lambda: wrapped(torch.ones(1, 4, device="hpu")))[1:] == (0, 0)  # one graph is the maximum
        wrapped.clear_inputs()
        wrapped.clear_cache()
        assert counted(lambda: wrapped(x))[1:] == (1, 0)


def check_transient_memory_is_given_back():
    with torch.inference_mode():

        def function(x):
            for _ in range(10):
                x = x + 1  # nine of ten are gone when the capture ends
            return x

        wrapped = hpu.wrap_in_hpu_graph_func(function)
        x = torch.zeros(1024 * 1024, device="hpu")
        gc.collect()
        before = hpu.memory_allocated()
        out = wrapped(x)
        assert hpu.memory_allocated() - before == 4 * 1024**2
        hpu.reset_peak_memory_stats()
        wrapped(x)
        assert hpu.memory_allocated() - before == 4 * 1024**2 and hpu.max_memory_allocated() - before <= 12 * 1024**2
        assert out[0].item() == 10


def check_graphs_give_their_memory_back():
    with torch.inference_mode():
        gc.collect()
        before = hpu.memory_allocated()
        wrapped = hpu.wrap_in_hpu_graph(model())
        wrapped(torch.ones(2, 4, device="hpu"))
        del wrapped
        gc.collect()
        assert hpu.memory_allocated() == before


def check_random_numbers_are_drawn_anew():
    with torch.inference_mode():
        wrapped = hpu.wrap_in_hpu_graph_func(lambda x: torch.rand_like(x) + 0)
        x = torch.zeros(8, device="hpu")
        first = wrapped(x).cpu()
        assert not torch.equal(first, wrapped(x).cpu())


def check_data_dependent_shapes_are_refused_in_a_replay():
    with torch.inference_mode():
        wrapped = hpu.wrap_in_hpu_graph_func(lambda x: x.nonzero() + 0)
        wrapped(torch.tensor([1, 0, 1], device="hpu"))
        with raises(RuntimeError, "static shapes"):
            wrapped(torch.tensor([1, 1, 1], device="hpu"))


def check_an_error_under_capture_leaves_no_capture_behind():
    with torch.inference_mode():

        def function(x):
            raise KeyError("mine")

        wrapped = hpu.wrap_in_hpu_graph_func(function)
        with raises(KeyError, "mine"):
            wrapped(torch.ones(1, device="hpu"))
        assert not hpu.is_current_stream_capturing()
        assert hpu.wrap_in_hpu_graph_func(lambda x: x + 1)(torch.ones(1, device="hpu")).item() == 2


def check_graph_and_hpugraph():
    with torch.inference_mode():
        x = torch.zeros(2, device="hpu")
        captured = hpu.HPUGraph()
        with hpu.graph(captured):
            assert hpu.is_current_stream_capturing()
            y = x * 2 + 1
        x.fill_(3)
        captured.replay()
        assert y.cpu().tolist() == [7, 7]
        captured.replayV2([x], [torch.full((2,), 5.0, device="hpu")])
        assert y.cpu().tolist() == [11, 11]
        captured.clear_inputs()
        captured.reset()
        with raises(RuntimeError, "nothing to replay"):
            captured.replay()


def check_views_made_behind_the_dispatchers_back():
    with torch.inference_mode():

        def function(x):
            y = torch.zeros(4, device=x.device)
            y.detach().view(2, 2)[0].add_(x)
            y.data[2:].mul_(0).add_(x)
            return y

        wrapped = hpu.wrap_in_hpu_graph_func(function)
        wrapped(torch.ones(2, device="hpu"))
        assert wrapped(torch.full((2,), 4.0, device="hpu")).cpu().tolist() == [4, 4, 4, 4]


def check_what_is_not_emulated_raises():
    for arguments in ({"disable_tensor_cache": True}, {"dry_run": True}):
        with raises(NotImplementedError, "not emulated"):
            hpu.wrap_in_hpu_graph(model(), **arguments)
    os.environ["PT_HPUGRAPH_DISABLE_TENSOR_CACHE"] = "1"
    with raises(NotImplementedError, "PT_HPUGRAPH_DISABLE_TENSOR_CACHE=1"):
        hpu.wrap_in_hpu_graph(model())
    del os.environ["PT_HPUGRAPH_DISABLE_TENSOR_CACHE"]
    wrapped = hpu.wrap_in_hpu_graph(model())
    with raises(NotImplementedError, "not emulated"):
        wrapped(torch.ones(1, 4, device="hpu"), warmup_mode=True)
    with raises(TypeError, "unexpected keyword"):
        hpu.wrap_in_hpu_graph(model(), hash_with_views=True)


def check_a_graph_inside_a_graph_raises():
    with torch.inference_mode():
        inner = hpu.wrap_in_hpu_graph_func(lambda x: x + 1)
        outer = hpu.wrap_in_hpu_graph_func(lambda x: inner(x) * 2)
        with raises(RuntimeError, "another HPU graph is being captured"):
            outer(torch.ones(1, device="hpu"))


def check_the_tensor_packer():
    x, y = torch.ones(1, device="hpu"), torch.zeros(1, device="hpu")
    packer = hpu.TensorPacker()
    tensors, metadata = packer.pack(({"x": x, "n": 3}, [y]))
    assert tensors == (x, y) and str(metadata) == "({'x': #0, 'n': 3}, [#1])"
    assert packer.unpack((y, x), metadata) == ({"x": y, "n": 3}, [x])
    hpu.synchronize()  # the checks that come next count recipes
