"""Whether the CPU can measure."""

from __future__ import annotations

from collections.abc import Iterator

from gaudi_perf.accelerators.base import Finding, finding


def check_cpu(torch: str, compiler: str | None) -> Iterator[Finding]:
    """What the facts mean, each with its remedy.

    Args:
        torch: the version of PyTorch; empty if it is not installed.
        compiler: the C++ compiler, or None.
    """
    yield finding("devices", "ok", "no accelerator: stand-in shapes are measured on the CPU")
    if torch:
        yield finding("PyTorch", "ok", torch)
    else:
        yield finding("PyTorch", "unfit", "is not installed", "pip install -e .")
    if compiler:
        yield finding("C++ compiler", "ok", compiler)
    else:
        found = "none, so the cases with graphs are skipped"
        yield finding("C++ compiler", "warning", found, "apt install g++, or set CXX")
