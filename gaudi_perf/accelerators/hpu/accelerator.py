"""Gaudi, as the controller sees it: what hl-smi lists."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from gaudi_perf.accelerators.base import Accelerator, Engine, Finding, Found, TelemetrySource
from gaudi_perf.accelerators.host import installed, mib_in_bytes
from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.fp8 import CONFIG_VARIABLE, LIBRARY, REMEDY, settings_for
from gaudi_perf.accelerators.hpu.health import GaudiFacts, check_gaudis
from gaudi_perf.accelerators.hpu.releases import PLUGIN
from gaudi_perf.accelerators.hpu.telemetry import PyhlmlSource
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.workload import Dtype

_FP8_EXPERTS = frozenset({"mixtral"})
"""Families whose experts neural-compressor-pt 3.10 quantizes as optimum-habana computes them, as seen."""

FP8_CACHES = frozenset({"falcon", "gemma2", "gemma3_text", "llama", "mistral", "mixtral", "phi", "qwen2", "qwen3"})
"""Families of optimum-habana 1.21 whose KV cache neural-compressor-pt 3.10 was seen to put into FP8."""


class HpuAccelerator(Accelerator):
    """Gaudis of any generation."""

    name = "hpu"
    kind = "hpu"
    preference = 30
    telemetry = "pyhlml"
    lists_devices = ("hl-smi", "-Q", "name", "-f", "csv,noheader,nounits")
    backend = "hccl"
    no_compile = "torch.compile on Gaudi wants a process without lazy mode, in which this suite measures: take graphs"
    gaudi_options = True
    transformers_steps = False  # but optimum-habana's
    fp8_library = LIBRARY

    def find(self) -> Found | None:
        rows = hl_smi.query("name", "memory.total")
        if not rows:
            return None
        product, memory = rows[0]
        return Found(hl_smi.generation_of(product), len(rows), mib_in_bytes(memory))

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Lazy mode, which graphs need and which is no default since SynapseAI 1.21; metrics that judge validity."""
        return {
            **super().environment(group, directory),
            "PT_HPU_LAZY_MODE": "1",
            "PT_HPU_ENABLE_LAZY_COLLECTIVES": "true",
            "PT_HPU_ENABLE_CACHE_METRICS": "1",
            **({CONFIG_VARIABLE: str(Path(self._fp8_config).absolute())} if self._fp8_config else {}),
            "TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor"),  # else torch makes one that nobody removes
        }

    @property
    def _fp8_config(self) -> str:
        return str(self.fp8_config or os.environ.get(CONFIG_VARIABLE, ""))

    def why_no_fp8(self, configuration: Configuration, built: Architecture, dtype: Dtype) -> str:
        settings_for(dtype, built.family, self._fp8_config)  # a mistake in the user's file is reported now
        found = self.find()
        if found is not None and found.name.removeprefix("emulated-") == "gaudi":
            return "Gaudi of the first generation has no FP8"
        if not installed(LIBRARY):
            return f"FP8 on Gaudi needs {LIBRARY}, which is not installed: {REMEDY}"
        if built.experts and built.family not in _FP8_EXPERTS:
            return (
                f"{LIBRARY} has FP8 for the experts of {' and '.join(sorted(_FP8_EXPERTS))} alone: those of "
                f"{built.family} go to optimum-habana's operator for bfloat16"
            )
        if dtype == "fp8kv" and built.family not in FP8_CACHES:
            return f"{built.family} has no KV cache that becomes FP8, as {', '.join(sorted(FP8_CACHES))}: use dtype=fp8"
        return ""

    def engine(self) -> Engine:
        from gaudi_perf.accelerators.hpu.engine import HpuEngine

        return HpuEngine()

    def telemetry_source(self) -> TelemetrySource:
        return PyhlmlSource()

    def installed(self) -> bool:
        """Whether there is hl-smi or the vendor's plug-in, even without a device."""
        return shutil.which("hl-smi") is not None or bool(installed(PLUGIN))

    def health(self) -> Iterator[Finding]:
        return check_gaudis(GaudiFacts.gather())
