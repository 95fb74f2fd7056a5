"""The CPU: the default where there is no accelerator."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from gaudi_perf.accelerators.base import NO_FP8_CACHE, Accelerator, Engine, Finding, Found
from gaudi_perf.accelerators.cpu.stack import compiler
from gaudi_perf.accelerators.host import installed, usable_cores
from gaudi_perf.generation.compilations import compiler_environment
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.workload import Dtype


class CpuAccelerator(Accelerator):
    """The host's processor and memory."""

    name = "cpu"
    kind = "cpu"
    default_scale = "standin"
    preference = 10
    shared = True

    def find(self) -> Found:
        """One CPU for every process that was asked for, each with its share of the machine's memory."""
        return Found("cpu", self.processes, psutil.virtual_memory().total // self.processes)

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Few threads, and nothing that starts processes of its own.

        Stand-ins are so small that a second thread gains nothing, and beside a busy neighbour it loses much: threads
        that wait for each other wait for the slowest core.
        """
        alone = 1 if group.scale == "standin" else max(1, _physical_cores() // group.devices)
        threads = _users_threads() or alone
        own = {**compiler_environment(directory), "OMP_NUM_THREADS": str(threads)}
        return {**super().environment(group, directory), **own}

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        if not variant_graphs or compiler() is not None:
            return ""
        return "graphs on the CPU are compiled by torch.compile, and no C++ compiler was found: install g++ or set CXX"

    def why_no_fp8(self, configuration: Configuration, built: Architecture, dtype: Dtype) -> str:
        if dtype == "fp8kv":
            return NO_FP8_CACHE
        return "FP8 on the CPU is a reference, on one device only" if configuration.devices > 1 else ""

    def engine(self) -> Engine:
        from gaudi_perf.accelerators.cpu.engine import CpuEngine

        return CpuEngine()

    def health(self) -> Iterator[Finding]:
        return check_cpu(installed("torch"), compiler())


def check_cpu(torch: str, compiler: str | None) -> Iterator[Finding]:
    """What it means that this PyTorch (its version, empty if it is not installed) and this C++ compiler are here."""
    yield Finding("devices", "ok", "no accelerator: stand-in shapes are measured on the CPU")
    yield Finding.present("PyTorch", torch, "pip install -e .")
    missing = "none, so the cases with graphs are skipped"
    yield Finding.present("C++ compiler", compiler, "apt install g++, or set CXX", missing, "warning")


def _users_threads() -> int | None:
    """What the user's own OMP_NUM_THREADS says; in a list for nested levels, the first."""
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(threads) if threads.isdecimal() and int(threads) > 0 else None


def _physical_cores() -> int:
    return max(1, min(psutil.cpu_count(logical=False) or usable_cores(), usable_cores()))
