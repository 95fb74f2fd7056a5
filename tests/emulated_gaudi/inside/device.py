"""The device in lazy mode: module 3 of 8, 256 MiB, SynapseAI 1.24.0 (PT_HPU_LAZY_MODE=1 is set by the caller)."""

import gc
import importlib
import os
import warnings

import habana_frameworks.torch.core as htcore
import habana_frameworks.torch.hpu as hpu
import habana_frameworks.torch.utils.experimental as htexp
import torch
from habana_frameworks.torch.hpex.normalization import FusedClipNorm
from helpers import raises

torch.set_num_threads(1)
MIB = 1024**2


def check_tensors_lie_on_this_processs_device():
    assert torch.ones(2, device="hpu").device == torch.device("hpu", 3)
    assert torch.tensor([1, 2]).to("hpu").is_hpu
    assert torch.arange(3).hpu().device.index == 3
    assert torch.nn.Linear(2, 2).to("hpu").weight.device.type == "hpu"
    assert torch.nn.Linear(2, 2, device="meta").to_empty(device="hpu").weight.device.index == 3
    assert hpu.current_device() == 3
    with torch.device("hpu"):
        assert torch.zeros(1).device.type == "hpu"


def check_another_devices_index_means_this_device():
    assert torch.ones(1, device="hpu:0").device.index == 3
    before = dict(os.environ)
    hpu.set_device(0)
    assert hpu.current_device() == 3 and dict(os.environ) == before
    with raises(RuntimeError, "out of range"):
        torch.ones(1, device="hpu:8")
    with raises(AssertionError, "Invalid device id"):
        hpu.set_device(8)


def check_tensors_of_host_and_device_do_not_mix():
    with raises(RuntimeError, "Expected all tensors to be on the same device"):
        torch.ones(2, device="hpu") + torch.ones(2)
    with raises(RuntimeError, "Expected all tensors to be on the same device"):
        torch.nn.functional.layer_norm(torch.ones(2, device="hpu"), (2,), torch.ones(2))
    with raises(TypeError, "convert hpu"):
        torch.ones(2, device="hpu").numpy()
    assert (torch.ones(2, device="hpu") * torch.tensor(2.0)).cpu().tolist() == [2, 2]


def check_results_are_those_of_the_cpu_bit_for_bit():
    torch.manual_seed(0)
    x, w, b = torch.randn(5, 16), torch.randn(16, 16), torch.randn(16)
    functions = [
        lambda x, w, b: torch.nn.functional.linear(x, w, b),
        lambda x, w, b: torch.nn.functional.layer_norm(x, (16,), b, b),
        lambda x, w, b: (x @ w).softmax(-1),
        lambda x, w, b: torch.nn.functional.gelu(x, approximate="tanh"),
        lambda x, w, b: torch.cat([x, w]).cumsum(0).topk(3).values,
        lambda x, w, b: torch.nn.functional.scaled_dot_product_attention(x[None, None], w[None, None], w[None, None]),
        lambda x, w, b: x.masked_fill(x > 0, -1.0).index_select(1, torch.tensor([3, 1], device=x.device)),
        lambda x, w, b: torch.baddbmm(b, x[None], w[None], beta=0.5, alpha=2.0),
        lambda x, w, b: torch.diag_embed(x)[:, 2:4].transpose(1, 2).contiguous(),
    ]
    for function in functions:
        for dtype in (torch.float32, torch.bfloat16):
            host = [t.to(dtype) for t in (x, w, b)]
            expected = function(*host)
            got = function(*(t.to("hpu") for t in host))
            assert got.device.type == "hpu" and got.dtype == expected.dtype
            assert torch.equal(got.cpu(), expected), function


def check_views_share_and_in_place_operations_write():
    x = torch.zeros(4, device="hpu")
    x.view(2, 2)[1].fill_(3)
    x[0:1] = 7
    assert x.cpu().tolist() == [7, 0, 3, 3]
    out = torch.empty(0, device="hpu")
    torch.add(x, 1, out=out)
    assert out.cpu().tolist() == [8, 1, 4, 4]
    x.resize_(6)
    assert x.shape == (6,) and x[:4].cpu().tolist() == [7, 0, 3, 3]
    y = torch.nn.Parameter(torch.zeros(2))
    y.data = torch.ones(2, device="hpu")
    assert y.device.type == "hpu"


def check_gradients():
    w = torch.ones(3, device="hpu", requires_grad=True)
    (w * w).sum().backward()
    assert w.grad.device.type == "hpu" and w.grad.cpu().tolist() == [2, 2, 2]


def check_availability_and_names():
    assert hpu.is_available() and hpu.device_count() == 8 and torch.hpu is hpu
    hpu.init()
    assert hpu.is_initialized()
    assert hpu.get_device_name() == "GAUDI2" == hpu.get_arch_list()[0]
    assert "emulated gaudi2" in hpu.get_device_properties() and "device_id=3" in hpu.get_device_properties()
    assert "sramSize=0" in hpu.get_device_properties()
    assert hpu.get_device_capability() == "1.24.0-emulated"
    assert hpu.is_bf16_supported() and hpu.get_gencode_flags() == ""
    assert hpu.can_device_access_peer(0, 1)
    assert htexp._get_device_type() == htexp.synDeviceType.synDeviceGaudi2 and htexp._is_fp16_supported()
    x = torch.ones(1, device="hpu")
    assert htexp._data_ptr(x) == x.data_ptr() and htexp._compute_stream() == 0
    assert torch.accelerator.current_accelerator().type == "hpu"


def check_get_device_index():
    from habana_frameworks.torch.hpu._utils import _get_device_index

    assert _get_device_index(None, optional=True) == 3 == _get_device_index("hpu", optional=True)
    assert _get_device_index(torch.device("hpu", 2)) == 2 == _get_device_index(2)
    assert _get_device_index("cpu", allow_cpu=True) == -1
    with raises(ValueError, "Expected a hpu device"):
        _get_device_index("cpu")
    with raises(ValueError, "specified index"):
        _get_device_index(None)


def check_device_contexts():
    with hpu.device(3), hpu.device_of(torch.ones(1, device="hpu")):
        assert torch.ones(1, device="hpu").device.index == 3
    with raises(AssertionError, "Invalid"), hpu.device(9):
        pass


def check_memory_is_accounted_for():
    gc.collect()
    before = hpu.memory_stats()
    hpu.reset_peak_memory_stats()
    x = torch.empty(4 * MIB, dtype=torch.uint8, device="hpu")
    y = x + 1  # made by a CPU kernel, and counted all the same
    after = hpu.memory_stats()
    assert after["InUse"] - before["InUse"] == 8 * MIB == hpu.memory_allocated() - before["InUse"]
    assert after["NumAllocs"] - before["NumAllocs"] == 2 and after["MaxAllocSize"] >= 4 * MIB
    assert after["Limit"] == 256 * MIB == hpu.memory_reserved() == hpu.max_memory_reserved()
    assert hpu.mem_get_info() == (256 * MIB - after["InUse"], 256 * MIB)
    del x, y
    now = hpu.memory_stats()
    assert now["InUse"] == before["InUse"] == hpu.memory_usage()
    assert now["NumFrees"] - before["NumFrees"] == 2
    assert now["MaxInUse"] - before["InUse"] == 8 * MIB == hpu.max_memory_allocated() - before["InUse"]
    assert now["ActiveAllocs"] == now["NumAllocs"] - now["NumFrees"]
    hpu.reset_peak_memory_stats()
    assert hpu.max_memory_allocated() == hpu.memory_allocated()
    hpu.reset_accumulated_memory_stats()
    assert hpu.memory_stats()["NumAllocs"] == 0 and hpu.memory_stats()["TotalSystemAllocs"] > 0
    assert "InUse" in hpu.memory_summary()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert hpu.memory_cached() == hpu.max_memory_cached() == 256 * MIB
    assert {w.category for w in caught} == {FutureWarning}


def check_memory_ends_as_on_a_gaudi():
    held = hpu.memory_allocated()
    for make in (
        lambda: torch.empty(257 * MIB, dtype=torch.uint8, device="hpu"),
        lambda: torch.empty(1, dtype=torch.uint8, device="hpu").expand(257 * MIB).contiguous(),
    ):
        with raises(RuntimeError, "FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed for size::269484032 (257)MB"):
            make()
    assert hpu.memory_allocated() - held <= 1
    torch.empty(128 * MIB, dtype=torch.uint8, device="hpu")  # goes on as if nothing had been


def check_memory_of_another_device_is_not_pretended():
    with raises(NotImplementedError, "not emulated"):
        hpu.memory_stats(0)


def check_events_give_milliseconds():
    first, second = hpu.Event(enable_timing=True), hpu.Event(enable_timing=True)
    first.record()
    sum(range(10**5))
    second.record(hpu.current_stream())
    second.synchronize()
    second.wait()
    assert second.query() and 0 < first.elapsed_time(second) < 60_000
    with raises(RuntimeError, "enable_timing"):
        hpu.Event().elapsed_time(second)
    with raises(RuntimeError, "recorded"):
        hpu.Event(enable_timing=True).elapsed_time(second)


def check_streams():
    default, mine = hpu.default_stream(), hpu.Stream()
    assert hpu.current_stream() == default != mine and default.id() == 0
    with hpu.stream(mine):
        assert hpu.current_stream() == mine
        mine.wait_stream(default)
        mine.wait_event(default.record_event())
    hpu.set_stream(None)
    assert hpu.current_stream() == default and mine.query() and "hpu_stream" in repr(mine)
    mine.synchronize()


def check_random_state():
    hpu.manual_seed_all(5)
    assert hpu.initial_seed() == 5
    state = hpu.get_rng_state()
    a = torch.rand(3, device="hpu").cpu()
    hpu.set_rng_state(state)
    assert torch.equal(a, torch.rand(3, device="hpu").cpu())
    torch.manual_seed(5)
    assert torch.equal(a, torch.rand(3))
    assert len(hpu.get_rng_state_all()) == 1
    hpu.set_rng_state_all([state])
    with raises(RuntimeError, "len of 1"):
        hpu.set_rng_state_all([state, state])
    hpu.manual_seed(1)
    hpu.seed()
    hpu.seed_all()
    assert hpu.random.default_generators[3] is torch.default_generator


def check_autocast_and_switches():
    linear = torch.nn.Linear(4, 4).to("hpu")
    with torch.autocast("hpu", dtype=torch.bfloat16):
        assert hpu.is_autocast_hpu_enabled() and hpu.get_autocast_hpu_dtype() == torch.bfloat16
        linear(torch.ones(1, 4, device="hpu"))
    hpu.set_autocast_hpu_dtype(torch.bfloat16)
    hpu.set_autocast_hpu_enabled(False)
    assert torch.float16 in hpu.get_amp_supported_dtype()
    hpu.disable_dynamic_shape()
    assert not hpu.get_dynamic_shape_status()
    hpu.enable_dynamic_shape()
    hpu.enable_inference_mode()
    hpu.disable_inference_mode()
    with hpu.sdp_kernel(enable_recompute=True):
        assert hpu.recompute_sdp_enabled()
    assert not hpu.recompute_sdp_enabled()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        hpu.setDeterministic(False)
        assert not hpu.getDeterministic()


def check_step_closures_run_once():
    seen = []
    htcore.add_step_closure(seen.append, (1,))
    htcore.mark_step()
    htcore.mark_step(sync=True)
    htcore.iter_mark_step()
    assert seen == [1]
    for function in (htcore.hpu_initialize, htcore.hpu_inference_initialize, htcore.hpu_set_env, htcore.hpu_reset_env):
        function()


def check_what_the_bridge_has_and_this_has_not_raises():
    for name in ("enable_const_section_serialization", "get_stream_info", "BFloat16Tensor"):
        assert not hasattr(hpu, name)
        with raises(NotImplementedError, "not emulated"):
            getattr(hpu, name)
    with raises(AttributeError, "no attribute"):
        _ = hpu.there_is_no_such_thing
    with raises(NotImplementedError, "not emulated"):
        hpu.make_graphed_callables()
    with raises(NotImplementedError, "not emulated"):
        hpu.ModuleCacher()
    with raises(NotImplementedError, "not emulated"):
        FusedClipNorm([], 1.0)
    graph = hpu.HPUGraph()
    for missing in (graph.replayV3, graph.mark_user_inputs, graph.mark_user_outputs):
        with raises(NotImplementedError, "not emulated"):
            missing([])
    with raises(NotImplementedError, "not emulated"):
        _ = htexp._record_params


def check_what_must_be_absent_is_absent():
    for name in ("hpex.optimizers", "gpu_migration", "dynamo", "profiler", "activity_profiler"):
        with raises(ImportError, "No module named"):
            importlib.import_module(f"habana_frameworks.torch.{name}")
    with raises(ImportError, "cannot import name"):
        from habana_frameworks.torch.hpex.kernels import CTCLoss  # noqa: F401
    assert not hasattr(torch.ops.hpu, "convert_from_int4") and not hasattr(torch.ops.hpu, "convert_from_uint4")
    with raises(RuntimeError, "Invalid backend: 'hpu_backend'"):
        torch.compile(torch.relu, backend="hpu_backend")


def check_switches_of_the_compiler_change_nothing():
    for name in ("inference_mode", "quantization", "matmul3d_2d_reshape", "optim_output_sif"):
        for verb in ("enable", "disable"):
            assert getattr(hpu, f"{verb}_{name}")() is None


def check_record_stream_and_pinned_memory():
    stream = hpu.Stream()
    with hpu.stream(stream):
        x = torch.ones(4, device="hpu")
    x.record_stream(hpu.current_stream())
    x[2:].record_stream(stream)
    with raises(RuntimeError, "is for tensors on hpu, not on cpu"):
        hpu.record_stream(torch.ones(1), stream)
    pinned = torch.ones(4).pin_memory()
    assert pinned.is_pinned() and pinned[1:].is_pinned() and not pinned[1:].clone().is_pinned()
    assert not torch.ones(4).is_pinned() and not x.is_pinned()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the argument; programs for Gaudi still pass it
        assert torch.ones(4).pin_memory("hpu").is_pinned("hpu")
    assert torch.equal(pinned.to("hpu", non_blocking=True).cpu(), pinned)


def check_float64_and_complex_tensors_stay_what_they_are():
    """A Gaudi computes float64 in 32 bits, and complex numbers on the host, where the bridge leaves the result."""
    x = torch.tensor([1 + 2**-40], dtype=torch.float64, device="hpu")
    assert (x * 1.0).item() == 1 + 2**-40
    z = torch.complex(x, x) * 2
    assert z.device.type == "hpu" and z.dtype == torch.complex128 and z.cpu().item() == (1 + 2**-40) * (2 + 2j)


def check_int64_has_64_bits():
    assert (torch.tensor([2**40], device="hpu") + 1).item() == 2**40 + 1


def check_developers_switches():
    import habana_frameworks.torch.utils.debug as htdebug

    x = torch.ones(4, device="hpu")
    assert htdebug.get_tensor_info(x) == (x.data_ptr(), 16) and htdebug.get_tensor_info(torch.ones(1)) is None
    assert htdebug._get_fallback_op_count() == {} and not htdebug._is_enabled_lazy_collectives()
    assert htdebug._set_module_name("a") is None and htdebug._enable_permute_pass(True) is None
    htdebug._hb_print("message")
    with raises(NotImplementedError, "utils.debug._towl_print is not emulated"):
        htdebug._towl_print("")
    with raises(AttributeError, "no attribute"):
        _ = htdebug.there_is_no_such_thing


def check_the_parts_of_core():
    from habana_frameworks.torch.core import quantization, step_closure, torch_overwrites

    assert step_closure.mark_step is htcore.mark_step and quantization.hpu_initialize is htcore.hpu_initialize
    assert callable(torch_overwrites.overwrite_torch_functions)
    seen = []
    step_closure.add_step_closure(seen.append, (1,))
    step_closure._mark_step_if_lazy()
    assert seen == [1]
    with torch.random.fork_rng():  # of the device, where torch would look for CUDA
        torch.manual_seed(1)


def check_utilization_comes_from_pyhlml():
    assert hpu.utilization().aip == 50 and hpu.utilization(0).aip == 0


def check_pyhlml_knows_this_process():
    import pyhlml

    with raises(pyhlml.HLMLError_Uninitialized, "ninitialized"):
        pyhlml.hlmlDeviceGetCount()
    pyhlml.hlmlInit()
    x = torch.empty(8 * MIB, dtype=torch.uint8, device="hpu")
    assert pyhlml.hlmlDeviceGetCount() == 8
    device = pyhlml.hlmlDeviceGetHandleByIndex(3)
    assert pyhlml.hlmlDeviceGetName(device) == b"HL-225" and b"EMULATED" in pyhlml.hlmlDeviceGetUUID(device)
    assert pyhlml.hlmlDeviceGetModuleID(device) == 3 == pyhlml.hlmlDeviceGetMinorNumber(device)
    info = pyhlml.hlmlDeviceGetMemoryInfo(device)
    assert info.used == hpu.memory_allocated() >= x.numel() and info.free + info.used == info.total == 256 * MIB
    assert pyhlml.hlmlDeviceGetMemoryInfo(pyhlml.hlmlDeviceGetHandleByIndex(0)).used == 0
    by_uuid = pyhlml.hlmlDeviceGetHandleByUUID(pyhlml.hlmlDeviceGetUUID(device))
    by_bus = pyhlml.hlmlDeviceGetHandleByPCIBusID("0000:36:00.0")
    assert by_uuid.value == device.value == by_bus.value
    assert pyhlml.hlmlDeviceGetClockInfo(device) == pyhlml.hlmlDeviceGetMaxClockInfo(device) == 1650
    assert pyhlml.hlmlDeviceGetClockLimitInfo(device) == 1650
    assert 20 < pyhlml.hlmlDeviceGetTemperature(device, 0) < pyhlml.hlmlDeviceGetTemperatureThreshold(device, 1)
    assert 0 < pyhlml.hlmlDeviceGetPowerUsage(device) < pyhlml.hlmlDeviceGetPowerManagementDefaultLimit(device)
    assert pyhlml.hlmlDeviceGetPowerManagementLimit(device) == 600_000
    assert pyhlml.hlmlDeviceGetCurrentClocksThrottleReasons(device) == 0
    assert pyhlml.hlmlDeviceGetViolationStatus(device, 1).violation_time == 0
    assert pyhlml.hlmlDeviceGetECCMode(device).current == 1 and pyhlml.hlmlDeviceGetTotalECCErrors(device, 0, 0) == 0
    assert pyhlml.hlmlGetDriverVersion() == b"1.24.0-emulated" and pyhlml.hlmlGetHLMLVersion().startswith(b"hl-1.24.0")
    assert pyhlml.hlmlDeviceGetFirmwareSPIVersion(device).startswith(b"hl-1.24.0")
    assert pyhlml.hlmlDeviceGetSerial(device) and pyhlml.hlmlDeviceGetModelNumber(device) == b"EMULATED"
    with raises(pyhlml.HLMLError, "not emulated"):
        pyhlml.hlmlDeviceGetPCIInfo(device)
    with raises(pyhlml.HLMLError, "Invalid"):
        pyhlml.hlmlDeviceGetHandleByIndex(8)
    with raises(pyhlml.HLMLError, "Not found"):
        pyhlml.hlmlDeviceGetHandleByUUID("none")
    pyhlml.hlmlShutdown()


def check_lazy_by_environment():
    from habana_frameworks.torch.utils.internal import is_lazy

    assert is_lazy() and os.environ["PT_HPU_LAZY_MODE"] == "1" and hasattr(hpu, "wrap_in_hpu_graph")
