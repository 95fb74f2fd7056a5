"""NVIDIA GPUs, as the controller sees them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from gaudi_perf.accelerators.base import NO_FP8_CACHE, Accelerator, Engine, Finding, Found, TelemetrySource
from gaudi_perf.accelerators.cuda.devices import device_slug, shown_gpus
from gaudi_perf.accelerators.cuda.health import check_gpus, gather_gpus
from gaudi_perf.accelerators.cuda.steps import DEFAULT_STEP, STEP, STEPS, step_name
from gaudi_perf.accelerators.cuda.telemetry import NvmlSource
from gaudi_perf.accelerators.host import installed, mib_in_bytes
from gaudi_perf.generation.compilations import compiler_environment
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.workload import Dtype

FP8_CAPABILITY = (8, 9)
"""The first compute capability with FP8 (CUDA C++ Programming Guide, compute capabilities)."""
_CAPABILITY = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}").fullmatch


class CudaAccelerator(Accelerator):
    """The GPUs that nvidia-smi lists and CUDA_VISIBLE_DEVICES shows."""

    name = "cuda"
    kind = "cuda"
    preference = 20
    telemetry = "nvml"
    lists_devices = ("nvidia-smi", "-L")
    batches_with_graphs = False
    backend = "nccl"
    none_found = (
        "no NVIDIA GPU found: nvidia-smi is not there or lists none (install the driver; start a container with "
        "--gpus all; CUDA_VISIBLE_DEVICES must not hide it)"
    )

    def find(self) -> Found | None:
        rows = shown_gpus("name", "memory.total")
        if not rows:
            return None
        product, memory = rows[0]
        return Found(device_slug(product), len(rows), mib_in_bytes(memory))

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Devices in the order of nvidia-smi; what is compiled is kept between runs."""
        own = {**compiler_environment(directory), STEP: step_name(), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return {**super().environment(group, directory), **own}

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        if devices > 1 and importlib.util.find_spec("deepspeed") is None:
            return f'{devices} GPUs need DeepSpeed, which is not installed: pip install -e ".[deepspeed]"'
        chosen = os.environ.get(STEP) or DEFAULT_STEP
        if not variant_graphs or chosen not in STEPS or STEPS[chosen].compiled is None:
            return ""
        if importlib.util.find_spec("triton") is None:
            return f"graphs with {STEP}={chosen} need Triton: pip install triton, or set {STEP}=fused-decode"
        if not any(shutil.which(compiler) for compiler in (os.environ.get("CC") or "gcc", "clang")):
            return f"graphs with {STEP}={chosen} need a C compiler: install gcc, set CC, or set {STEP}=fused-decode"
        return ""

    def why_no_fp8(self, configuration: Configuration, built: Architecture, dtype: Dtype) -> str:
        """GPUs multiply in FP8 from compute capability 8.9 (Ada) on."""
        if dtype == "fp8kv":
            return NO_FP8_CACHE
        if configuration.devices > 1:
            return "FP8 is measured on one GPU only so far"
        shown = next((row[0] for row in shown_gpus("compute_cap")), "")
        known = _CAPABILITY(shown)
        if known and tuple(map(int, shown.split("."))) >= FP8_CAPABILITY:
            return ""
        found = f"has {shown}" if known else "does not report it"
        return f"FP8 needs a GPU of compute capability 8.9 or later (Ada, Hopper), and this one {found}"

    def engine(self) -> Engine:
        from gaudi_perf.accelerators.cuda.engine import CudaEngine

        return CudaEngine()

    def telemetry_source(self) -> TelemetrySource:
        return NvmlSource()

    def health(self) -> Iterator[Finding]:
        return check_gpus(*gather_gpus(), installed("torch"))
