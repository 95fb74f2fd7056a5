"""Changes what a worker does, from outside: imported by Python at start because this directory is on PYTHONPATH.

``GAUDI_PERF_INJECTED`` holds a JSON object:
  engine     "scripted" for an engine that takes scripted times and no torch; else the real one
  seconds    per case part, the scripted seconds of a generation: {"graphs": 0.010, "eager": 0.020}
  sleep      whether a scripted generation really takes its time. Else the worker's clock is a simulated one, so that no
             other load of the machine disturbs the times, and rounds cost nothing
  slower     [{"when": ["graphs"], "by": 0.15}]: scripted generations of variants with all these words take longer
  seed       of what is drawn, with the number of the group: the same every time (drawn anew unless given)
  spread     how far scripted runs lie apart, as a share (0.003 unless given)
  slow_first_token  {"when": ["graphs"], "by": 0.5}: the first token of such scripted generations takes longer
  drift      {"loads": [2, 3], "when": ["nocache"], "by": 0.05}: in workers that load as the second and third (see
             count_loads), each scripted generation of such variants takes longer than the one before: never steady
  slow_rank  {"rank": 1, "by": 0.3}: this scripted rank takes longer, and all ranks wait for it
  outputs    [{"when": ["graphs"], "shift": 3}]: scripted tokens and logits of such variants are others, and agree with
             themselves; without it, scripted engines trace no logits
  memory     scripted peak memory in bytes
  fault      {"kind": "kill" | "freeze" | "hang" | "raise" | "exit" | "slow exit" | "lag",
              "phase": "import" | "load" | "prepare" | "generate" | "lag" (after a generation), "after": 0, "rank": 1}:
              what happens, after how many generations of a variant, and to which rank of several
  wrong      {"kind": "alibi" | "stale" | "all-reduce", "when": ["graphs"], "rank": 1, "everywhere": false}: variants
             with all these words have a wrong kernel, on that rank or on all
  stack_version  what the stack says of its version
  count_loads    a file to which every load adds a line
  device_clock   whether the worker's clock is that of the emulated device, which only operations advance (each by the
             operation_microseconds that are set)
  cuda           whether GPUs are pretended (pretended_cuda)
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def _install() -> None:
    from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
    from gaudi_perf.accelerators.hpu.accelerator import HpuAccelerator

    injected = json.loads(os.environ["GAUDI_PERF_INJECTED"])
    if injected.get("cuda"):
        import pretended_cuda

        return pretended_cuda.install()
    for accelerator in (CpuAccelerator, HpuAccelerator):
        accelerator.engine = _injecting(accelerator.engine, injected)
    if injected.get("engine") == "scripted" and not injected.get("sleep"):
        from injected_engine import SIMULATED_CLOCK

        _set_clock(SIMULATED_CLOCK.now_ns)
    if injected.get("device_clock"):
        _set_clock(_device_ns)


def _set_clock(now_ns: Callable[[], int]) -> None:
    """Rounds are timed by this clock, and the host is as fast as ever."""
    from gaudi_perf.workers.rank.probes import HostProbe

    time.perf_counter_ns = now_ns
    HostProbe.seconds = lambda self: 0.001


def _device_ns() -> int:
    """The emulated device's time; 0 before there is one."""
    device = sys.modules.get("habana_frameworks.torch._device")
    if device is None:
        return 0
    device.native.simulate_clock()
    return device.native.clock_ns()


def _injecting(make_real: Callable[[Any], Any], injected: dict[str, Any]) -> Callable[[Any], Any]:
    def engine(self: Any) -> Any:
        from injected_engine import InjectedEngine, ScriptedEngine

        inner = ScriptedEngine(injected) if injected.get("engine") == "scripted" else make_real(self)
        return InjectedEngine(inner, injected)

    return engine


# The last is a job of benchmarks/cuda.py.
_WORKERS = {
    "gaudi_perf.workers.rank.worker",
    "gaudi_perf.workers.rank.rank",
    "--job",
}
if "GAUDI_PERF_INJECTED" in os.environ and _WORKERS & set(getattr(sys, "orig_argv", [])):
    _install()
