"""How fast devices read their memory, by their vendors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Bandwidth:
    """The memory bandwidth of a device; its source is ``measured`` if it was measured on the very device."""

    bytes_per_s: float
    source: str


def _of(terabytes_per_s: float, source: str) -> Bandwidth:
    return Bandwidth(terabytes_per_s * 1e12, source)


_ML_ENGINEERING = "github.com/stas00/ml-engineering, compute/accelerator"

PUBLISHED: Mapping[str, Bandwidth] = MappingProxyType(
    {
        "gaudi": _of(1.0, "Habana, Gaudi Training Platform White Paper: four HBM2 stacks"),
        "gaudi2": _of(2.46, _ML_ENGINEERING),
        "gaudi3": _of(3.70, _ML_ENGINEERING),
        "a100-40gb": _of(1.555, "NVIDIA A100 datasheet, SXM 40 GB"),
        "a100-80gb": _of(2.039, "NVIDIA A100 datasheet, SXM 80 GB"),
        "h100-80gb": _of(3.35, "NVIDIA H100 datasheet, SXM 80 GB"),
        "h100-pcie": _of(2.0, "NVIDIA H100 datasheet, PCIe 80 GB"),
        "h100-nvl": _of(3.9, "NVIDIA H100 datasheet, NVL 94 GB"),
        "h200": _of(4.8, "NVIDIA H200 datasheet, SXM 141 GB"),
    }
)
"""By ``Device.name``. What a device reaches is a tenth or so less, so a measured bandwidth goes before these."""
