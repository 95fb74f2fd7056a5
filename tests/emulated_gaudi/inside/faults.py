"""Faults that are set happen, when and where they are set."""

import os
import time

import habana_frameworks.torch.core as htcore
import habana_frameworks.torch.hpu as hpu
import torch
from habana_frameworks.torch.hpu.metrics import metric_localcontext
from helpers import raises

from emulated_gaudi.control import Fault, set_faults

torch.set_num_threads(1)
FAULTS = os.environ["EMULATED_GAUDI_FAULTS"]


def stretch(run, tries=7):
    """How much synchronize() adds to the work before it, as a share; the least of several: others use the machine."""
    shares = []
    for _ in range(tries):
        hpu.synchronize()
        begin = time.perf_counter()
        while time.perf_counter() - begin < 0.02:
            run()
        end = time.perf_counter()
        hpu.synchronize()
        shares.append((time.perf_counter() - end) / (end - begin))
    return min(shares)


def eager():
    x = torch.ones(64, device="hpu")
    for _ in range(20):
        x = x + 1


graph = hpu.wrap_in_hpu_graph_func(lambda x: x * 2 + 1)
inputs = torch.ones(64, device="hpu")


def replay():
    with torch.inference_mode():
        graph(inputs)


replay()


def check_slower_with_graphs_only():
    set_faults(FAULTS, Fault(when={"graphs": True}, slower=0.5))
    assert 0.45 < stretch(replay) < 0.6
    assert stretch(eager) < 0.05
    set_faults(FAULTS)
    assert stretch(replay) < 0.05


def check_slower_without_graphs_only():
    set_faults(
        FAULTS, Fault(when={"graphs": False}, slower=0.3), Fault(when={"graphs": False}, slower=0.2)
    )  # they add up
    assert 0.45 < stretch(eager) < 0.6
    assert stretch(replay) < 0.05


def check_slower_by_label_and_by_rank():
    set_faults(FAULTS, Fault(when={"kvcache": True, "rank": 0}, slower=0.5), labels={"kvcache": True})
    assert stretch(replay) > 0.45
    set_faults(FAULTS, Fault(when={"kvcache": True}, slower=0.5), labels={"kvcache": False})
    assert stretch(replay) < 0.05
    set_faults(FAULTS, Fault(when={"kvcache": True}, slower=0.5), Fault(when={"rank": 1}, slower=0.5))  # no such label
    assert stretch(replay) < 0.05


def check_a_pause_is_not_stretched():
    set_faults(FAULTS, Fault(slower=1.0))
    waits = []
    for _ in range(3):
        hpu.synchronize()
        time.sleep(0.5)
        eager()
        begin = time.perf_counter()
        hpu.synchronize()
        waits.append(time.perf_counter() - begin)
    set_faults(FAULTS)
    assert min(waits) < 0.5, "the pause is not waited for again"


def check_copies_to_the_host_wait_too():
    set_faults(FAULTS, Fault(slower=1.0))
    hpu.synchronize()
    for copy in (inputs[0].item, inputs.cpu, lambda: torch.equal(inputs, inputs)):
        shares = []
        for _ in range(7):
            begin = time.perf_counter()
            while time.perf_counter() - begin < 0.02:
                eager()
            end = time.perf_counter()
            copy()
            shares.append((time.perf_counter() - end) / (end - begin))
        assert min(shares) > 0.9
    set_faults(FAULTS)


def check_simulated_operation_time_lasts_by_the_number_of_operations():
    def took(run):
        hpu.synchronize()
        operations, begin = hpu.emulated_counters()["operations"], time.perf_counter()
        run()
        hpu.synchronize()
        return time.perf_counter() - begin, hpu.emulated_counters()["operations"] - operations

    set_faults(FAULTS, Fault(operation_microseconds=2000), Fault(when={"graphs": True}, slower=0.5))
    seconds, operations = took(eager)
    # The simulated time begins at the synchronisation before, shortly before the stopwatch.
    assert operations >= 20 and seconds >= 0.8 * 0.002 * operations
    seconds, operations = took(replay)  # replayed operations count, and shares are of the simulated time
    assert operations >= 2 and seconds >= 0.8 * 1.5 * 0.002 * operations
    set_faults(FAULTS)
    assert min(took(eager)[0] for _ in range(7)) < 0.02


def check_noise_is_drawn_anew():
    set_faults(FAULTS, Fault(noise=0.5))
    shares = {round(stretch(eager, tries=1), 3) for _ in range(8)}
    set_faults(FAULTS)
    assert len(shares) > 2 and max(shares) > 0.05


def check_compilations_and_the_rest_are_seen_by_the_metrics():
    replay()
    htcore.mark_step()
    kinds = ["graph_compilation", "cpu_fallback", "recipe_cache", "memory_defragmentation"]
    faults = Fault(after_operations=3, compilations=2, cpu_fallbacks=1, recipe_cache_misses=4, defragmentations=1)
    for fault, expected in ((faults, [2, 1, 4, 1]), (Fault(), [0, 0, 0, 0])):
        set_faults(FAULTS, fault)
        with (
            metric_localcontext(kinds[0]) as a,
            metric_localcontext(kinds[1]) as b,
            metric_localcontext(kinds[2]) as c,
            metric_localcontext(kinds[3]) as d,
        ):
            for _ in range(5):
                replay()
        seen = [dict(m.stats()) for m in (a, b, c, d)]
        assert [s.get("TotalNumber", s.get("TotalMiss")) for s in seen] == expected, seen
    set_faults(FAULTS, Fault(after_operations=4, repeat=True, compilations=1))
    replay()
    with metric_localcontext("graph_compilation") as compiled:
        for _ in range(20):
            replay()  # three operations or so each
    assert dict(compiled.stats())["TotalNumber"] > 5
    set_faults(FAULTS)
    hpu.synchronize()


def check_out_of_memory():
    set_faults(FAULTS, Fault(out_of_memory=True))
    hpu.synchronize()
    with raises(RuntimeError, "MODULE:PT_DEVMEM Allocation failed for size::"):
        eager()
    eager()  # once
    set_faults(FAULTS)


def check_a_throttle_is_seen_by_pyhlml():
    import pyhlml

    pyhlml.hlmlInit()
    device, other = pyhlml.hlmlDeviceGetHandleByIndex(3), pyhlml.hlmlDeviceGetHandleByIndex(0)
    set_faults(FAULTS, Fault(when={"module": 3}, throttle="thermal"), Fault(when={"model": "x"}, throttle="power"))
    assert pyhlml.hlmlDeviceGetCurrentClocksThrottleReasons(device) == 2
    assert pyhlml.hlmlDeviceGetViolationStatus(device, 1).violation_time == 1
    assert pyhlml.hlmlDeviceGetTemperature(device, 0) >= pyhlml.hlmlDeviceGetTemperatureThreshold(device, 1)
    assert pyhlml.hlmlDeviceGetClockInfo(device) < pyhlml.hlmlDeviceGetMaxClockInfo(device)
    assert pyhlml.hlmlDeviceGetCurrentClocksThrottleReasons(other) == 0
    set_faults(FAULTS, Fault(when={"model": "x"}, throttle="power"), labels={"model": "x"})
    assert pyhlml.hlmlDeviceGetCurrentClocksThrottleReasons(other) == 1
    assert pyhlml.hlmlDeviceGetPowerUsage(other) == pyhlml.hlmlDeviceGetPowerManagementLimit(other)
    set_faults(FAULTS)
    pyhlml.hlmlShutdown()


def check_a_wrong_document_is_an_error_not_silence():
    with open(FAULTS, "w") as file:
        file.write('{"faults": [{"slowr": 0.1}]}')
    with raises(ValueError, "slowr"):
        hpu.synchronize()
    set_faults(FAULTS)
    hpu.synchronize()
