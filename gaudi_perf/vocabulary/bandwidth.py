"""How fast devices read their memory and multiply, by their vendors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Rate(NamedTuple):
    """Bytes that a device reads a second, or operations of dense matrix products that it does.

    The source is ``measured`` if it was measured on the very device.
    """

    per_s: float
    source: str


_ML_ENGINEERING = "github.com/stas00/ml-engineering, compute/accelerator"

PUBLISHED: Mapping[str, Rate] = {
    "gaudi": Rate(1.0e12, "Habana, Gaudi Training Platform White Paper: four HBM2 stacks"),
    "gaudi2": Rate(2.46e12, _ML_ENGINEERING),
    "gaudi3": Rate(3.70e12, _ML_ENGINEERING),
    "a100-40gb": Rate(1.555e12, "NVIDIA A100 datasheet, SXM 40 GB"),
    "a100-80gb": Rate(2.039e12, "NVIDIA A100 datasheet, SXM 80 GB"),
    "h100-80gb": Rate(3.35e12, "NVIDIA H100 datasheet, SXM 80 GB"),
    "h100-pcie": Rate(2.0e12, "NVIDIA H100 datasheet, PCIe 80 GB"),
    "h100-nvl": Rate(3.9e12, "NVIDIA H100 datasheet, NVL 94 GB"),
    "h200": Rate(4.8e12, "NVIDIA H200 datasheet, SXM 141 GB"),
}
"""By ``Device.name``. What a device reaches is a tenth or so less, so a measured bandwidth goes before these."""

ARITHMETIC: Mapping[str, Rate] = {
    "gaudi2": Rate(432e12, _ML_ENGINEERING),
    "gaudi3": Rate(1835e12, _ML_ENGINEERING),
    "a100-40gb": Rate(312e12, "NVIDIA A100 datasheet"),
    "a100-80gb": Rate(312e12, "NVIDIA A100 datasheet"),
    "h100-80gb": Rate(989e12, "NVIDIA H100 datasheet, SXM, without sparsity"),
}
"""By ``Device.name``, in bfloat16 and float16."""

FP8_ARITHMETIC: Mapping[str, Rate] = {
    "gaudi2": Rate(865e12, _ML_ENGINEERING),
    "gaudi3": Rate(1835e12, _ML_ENGINEERING),
    "h100-80gb": Rate(1979e12, "NVIDIA H100 datasheet, SXM, without sparsity"),
}
"""The same in FP8."""
