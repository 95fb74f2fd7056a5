"""How fast devices read their memory and multiply, by their vendors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Bandwidth:
    """The memory bandwidth of a device; its source is ``measured`` if it was measured on the very device."""

    bytes_per_s: float
    source: str


@dataclass(frozen=True)
class Arithmetic:
    """Operations a second of dense matrix products."""

    operations_per_s: float
    source: str


_ML_ENGINEERING = "github.com/stas00/ml-engineering, compute/accelerator"

PUBLISHED: Mapping[str, Bandwidth] = MappingProxyType(
    {
        "gaudi": Bandwidth(1.0e12, "Habana, Gaudi Training Platform White Paper: four HBM2 stacks"),
        "gaudi2": Bandwidth(2.46e12, _ML_ENGINEERING),
        "gaudi3": Bandwidth(3.70e12, _ML_ENGINEERING),
        "a100-40gb": Bandwidth(1.555e12, "NVIDIA A100 datasheet, SXM 40 GB"),
        "a100-80gb": Bandwidth(2.039e12, "NVIDIA A100 datasheet, SXM 80 GB"),
        "h100-80gb": Bandwidth(3.35e12, "NVIDIA H100 datasheet, SXM 80 GB"),
        "h100-pcie": Bandwidth(2.0e12, "NVIDIA H100 datasheet, PCIe 80 GB"),
        "h100-nvl": Bandwidth(3.9e12, "NVIDIA H100 datasheet, NVL 94 GB"),
        "h200": Bandwidth(4.8e12, "NVIDIA H200 datasheet, SXM 141 GB"),
    }
)
"""By ``Device.name``. What a device reaches is a tenth or so less, so a measured bandwidth goes before these."""

ARITHMETIC: Mapping[str, Arithmetic] = MappingProxyType(
    {
        "gaudi2": Arithmetic(432e12, _ML_ENGINEERING),
        "gaudi3": Arithmetic(1835e12, _ML_ENGINEERING),
        "a100-40gb": Arithmetic(312e12, "NVIDIA A100 datasheet"),
        "a100-80gb": Arithmetic(312e12, "NVIDIA A100 datasheet"),
        "h100-80gb": Arithmetic(989e12, "NVIDIA H100 datasheet, SXM, without sparsity"),
    }
)
"""By ``Device.name``, in bfloat16 and float16."""

FP8_ARITHMETIC: Mapping[str, Arithmetic] = MappingProxyType(
    {
        "gaudi2": Arithmetic(865e12, _ML_ENGINEERING),
        "gaudi3": Arithmetic(1835e12, _ML_ENGINEERING),
        "h100-80gb": Arithmetic(1979e12, "NVIDIA H100 datasheet, SXM, without sparsity"),
    }
)
"""The same in FP8."""
