"""NVIDIA GPUs, as the controller sees them."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gaudi_perf.accelerators.base import MIB, Accelerator, Finding, Found
from gaudi_perf.accelerators.cuda.devices import VISIBLE, device_slug, nvidia_smi, visible
from gaudi_perf.accelerators.cuda.health import check_gpus, gather_gpus
from gaudi_perf.accelerators.cuda.steps import DEFAULT_STEP, STEP, STEPS, step_name
from gaudi_perf.accelerators.host import installed
from gaudi_perf.generation.compilations import compiler_environment
from gaudi_perf.protocol import GroupSpec

if TYPE_CHECKING:
    from gaudi_perf.accelerators.cuda.engine import CudaEngine
    from gaudi_perf.accelerators.cuda.telemetry import NvmlSource


class CudaAccelerator(Accelerator):
    """The GPUs that nvidia-smi lists and CUDA_VISIBLE_DEVICES shows."""

    name = "cuda"
    kind = "cuda"
    preference = 20
    telemetry = "nvml"
    batches_with_graphs = False
    backend = "nccl"
    none_found = (
        "no NVIDIA GPU found: nvidia-smi is not there or lists none (install the driver; start a container with "
        "--gpus all; CUDA_VISIBLE_DEVICES must not hide it)"
    )

    def find(self) -> Found | None:
        """What nvidia-smi lists, and CUDA_VISIBLE_DEVICES shows."""
        rows = visible(nvidia_smi("index", "uuid", "name", "memory.total"), os.environ.get(VISIBLE))
        if not rows:
            return None
        _, _, product, memory = rows[0]
        size = int(memory) * MIB if memory.isdecimal() else None
        return Found(name=device_slug(product), count=len(rows), memory_bytes=size)

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Devices in the order of nvidia-smi; what is compiled is kept between runs.

        Raises:
            UserError: the environment variable of the step names none.
        """
        return {
            **super().environment(group, directory),
            **compiler_environment(),
            STEP: step_name(),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        }

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        """Several GPUs need DeepSpeed; compiled graphs need Triton and a C compiler."""
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

    def engine(self) -> CudaEngine:
        """The worker's side."""
        from gaudi_perf.accelerators.cuda.engine import CudaEngine

        return CudaEngine()

    def telemetry_source(self) -> NvmlSource:
        """NVML."""
        from gaudi_perf.accelerators.cuda.telemetry import NvmlSource

        return NvmlSource()

    def health(self) -> Iterator[Finding]:
        """Devices, driver and PyTorch, processes, memory, throttling, persistence mode, clocks."""
        return check_gpus(*gather_gpus(), installed("torch"))
