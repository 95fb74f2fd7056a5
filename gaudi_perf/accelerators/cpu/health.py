"""Whether the CPU can measure."""

from __future__ import annotations

from collections.abc import Iterator

from gaudi_perf.accelerators.base import Finding


def check_cpu(torch: str, compiler: str | None) -> Iterator[Finding]:
    """What it means that this PyTorch (its version, empty if it is not installed) and this C++ compiler are here."""
    yield Finding("devices", "ok", "no accelerator: stand-in shapes are measured on the CPU")
    yield Finding.present("PyTorch", torch, "pip install -e .")
    missing = "none, so the cases with graphs are skipped"
    yield Finding.present("C++ compiler", compiler, "apt install g++, or set CXX", missing, "warning")
