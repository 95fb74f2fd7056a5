"""The stack of the CPU: PyTorch's version, and what else the latency depends on."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path

from gaudi_perf.accelerators.host import installed, output_of
from gaudi_perf.vocabulary.stack import Stack

_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_AFFINITY", "LD_PRELOAD", "ATEN_CPU_CAPABILITY")


def cpu_stack() -> Stack:
    """The stack of this process, a worker's."""
    import torch

    public, _, build = torch.__version__.partition("+")
    components = {
        "python": platform.python_version(),
        "pytorch-build": build or "default",
        "transformers": installed("transformers"),
        "tokenizers": installed("tokenizers"),
        "cpu-capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": built_with(torch.__config__.show(), "MKL-DNN"),
        "mkl": built_with(torch.__config__.show(), "Math Kernel Library"),
        "compiler": compiler_version(),
    }
    settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    settings["threads"] = str(torch.get_num_threads())
    settings["interop-threads"] = str(torch.get_num_interop_threads())
    return Stack(kind="torch", version=public, components=components, settings=settings)


def built_with(configuration: str, component: str) -> str:
    """The version in a line of ``torch.__config__.show()`` like ``- Intel(R) MKL-DNN v3.12.0 (Git Hash ...)``."""
    line = next((line for line in configuration.splitlines() if component in line), "")
    found = re.search(r"(?:v|Version )(\d[\w.]*)", line)
    return found.group(1) if found else "none"


def compiler() -> str | None:
    """The C++ compiler that torch.compile will use (torch/_inductor/cpp_builder.py looks for the same)."""
    named = os.environ.get("CXX")
    return next((found for name in ([named] if named else ["g++", "clang++"]) if (found := shutil.which(name))), None)


def compiler_version() -> str:
    """Its name and version, or ``none``."""
    path = compiler()
    if path is None:
        return "none"
    # Not every compiler knows both options.
    return " ".join([Path(path).name, *output_of(path, "-dumpfullversion", "-dumpversion").split()[:1]])
