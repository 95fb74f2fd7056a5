"""The stack of an NVIDIA GPU: versions, and how the GPU is set."""

from __future__ import annotations

import os
import platform
import re

import torch

from gaudi_perf.accelerators.cuda.nvml import NvmlFacts, nvml_facts
from gaudi_perf.accelerators.cuda.steps import step_name
from gaudi_perf.accelerators.host import installed
from gaudi_perf.vocabulary.stack import Stack

_SETTINGS = (
    "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "LD_PRELOAD",
)
# Of NCCL and of PyTorch's part of it; not what only says where to write or to meet.
_OF_NCCL = re.compile(r"(TORCH_)?NCCL_(?!DEBUG|COMM_ID|HOSTID)")


def cuda_stack() -> Stack:
    """CUDA's version, as PyTorch was built with; driver, libraries, and how the current GPU is set."""
    cudnn = torch.backends.cudnn.version()
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    of_device = nvml_facts(str(getattr(properties, "uuid", "")))
    components = {
        "driver": of_device.driver,
        "cuda-of-driver": of_device.cuda,
        "cudnn": str(cudnn) if cudnn else "none",
        "nccl": _nccl_version(),  # as PyTorch was built with it
        "gpu": torch.cuda.get_device_name(),
        "compute-capability": f"{properties.major}.{properties.minor}",
        "python": platform.python_version(),
        "pytorch": str(torch.__version__),  # a type of its own, which no document takes
        "triton": installed("triton") or "none",
        "transformers": installed("transformers") or "none",
        "deepspeed": installed("deepspeed") or "none",
    }
    settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    settings |= {"step": step_name(), **of_device.settings, **_of_group(of_device)}
    return Stack(kind="cuda", version=torch.version.cuda or "0", components=components, settings=settings)


def _of_group(of_device: NvmlFacts) -> dict[str, str]:
    """What collectives depend on: NCCL's settings, and how the GPUs of this host reach each other."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return {}
    count, own = int(os.environ.get("LOCAL_SIZE", "1")), torch.cuda.current_device()
    settings = {name: value for name, value in os.environ.items() if _OF_NCCL.match(name)}
    reached = [torch.cuda.can_device_access_peer(own, other) for other in range(count) if other != own]
    if reached:
        settings["peer-access"] = "all" if all(reached) else "some" if any(reached) else "none"
    if of_device.nvlinks is not None:
        settings["nvlinks"] = str(of_device.nvlinks)
    return settings


def _nccl_version() -> str:
    try:
        return ".".join(map(str, torch.cuda.nccl.version()))
    except (AttributeError, RuntimeError, TypeError):
        return "none"
