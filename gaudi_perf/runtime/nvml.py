"""What the driver of NVIDIA's GPUs tells, by NVML.

nvidia-ml-py (the ``cuda`` extra) is optional, and so is every single answer: GPUs, drivers, containers and
multi-instance GPUs leave out different ones. What is not told is None or not there; nothing raises but opening.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any


class NvmlUnavailable(Exception):
    """NVML cannot be asked; the message says why."""


@dataclass(frozen=True)
class NvmlFacts:
    """How a GPU is driven and set.

    Attributes:
        driver: the driver's version, or ``unknown``.
        cuda: the newest CUDA that the driver can run, or ``unknown``.
        settings: what the latency depends on, by name; without what is not told.
    """

    driver: str = "unknown"
    cuda: str = "unknown"
    settings: Mapping[str, str] = field(default_factory=dict)


class Nvml:
    """NVML, opened. ``api`` is the module pynvml."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            NvmlUnavailable: nvidia-ml-py is not installed, or there is no driver.
        """
        try:
            import pynvml
        except ImportError:
            raise NvmlUnavailable('nvidia-ml-py is not installed: pip install -e ".[cuda]"') from None
        self.api: Any = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlUnavailable(f"NVML does not start: {error}") from None

    def close(self) -> None:
        """Close it; NVML counts how often it was opened."""
        self.ask("nvmlShutdown")

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a function of pynvml; None where it is not there, not supported, not permitted, or the GPU is lost."""
        call: Callable[..., Any] | None = getattr(self.api, function, None)
        if call is None:
            return None
        try:
            return call(*arguments)
        except self.api.NVMLError:
            return None

    def handles(self, shown: str | None) -> dict[int, Any]:
        """The GPUs that CUDA_VISIBLE_DEVICES shows, by index.

        Args:
            shown: the variable's value, or None if it is not set.
        """
        found = [
            (str(index), str(self.ask("nvmlDeviceGetUUID", handle) or ""), handle)
            for index in range(self.ask("nvmlDeviceGetCount") or 0)
            if (handle := self.ask("nvmlDeviceGetHandleByIndex", index)) is not None
        ]
        return {int(index): handle for index, _, handle in visible(found, shown)}

    def facts(self, uuid: str) -> NvmlFacts:
        """Driver and settings of a GPU.

        Args:
            uuid: with or without ``GPU-``; empty for the first.
        """
        cuda = self.ask("nvmlSystemGetCudaDriverVersion_v2")
        if uuid:
            handle = self.ask("nvmlDeviceGetHandleByUUID", uuid if "-" in uuid[:4] else f"GPU-{uuid}")
        else:
            handle = self.ask("nvmlDeviceGetHandleByIndex", 0)
        return NvmlFacts(
            driver=str(self.ask("nvmlSystemGetDriverVersion") or "unknown"),
            cuda="unknown" if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            settings={} if handle is None else self._settings(handle),
        )

    def _settings(self, handle: Any) -> dict[str, str]:
        api = self.api
        milliwatts = self.ask("nvmlDeviceGetEnforcedPowerLimit", handle)
        ecc, mig = self.ask("nvmlDeviceGetEccMode", handle), self.ask("nvmlDeviceGetMigMode", handle)
        told = {
            "sm-clock-max": _mhz(self.ask("nvmlDeviceGetMaxClockInfo", handle, api.NVML_CLOCK_SM)),
            "memory-clock-max": _mhz(self.ask("nvmlDeviceGetMaxClockInfo", handle, api.NVML_CLOCK_MEM)),
            "application-sm-clock": _mhz(self.ask("nvmlDeviceGetApplicationsClock", handle, api.NVML_CLOCK_SM)),
            "power-limit": None if milliwatts is None else f"{milliwatts / 1000:g} W",
            "ecc": None if ecc is None else _on(ecc[0]),
            "mig": None if mig is None else _on(mig[0]),
            "persistence-mode": _on(self.ask("nvmlDeviceGetPersistenceMode", handle)),
            "vbios": self.ask("nvmlDeviceGetVbiosVersion", handle),
        }
        return {name: str(value) for name, value in told.items() if value is not None}


def nvml_facts(uuid: str) -> NvmlFacts:
    """How the GPU of that UUID is driven and set, as far as NVML can be asked."""
    try:
        nvml = Nvml()
    except NvmlUnavailable:
        return NvmlFacts()
    with closing(nvml):
        return nvml.facts(uuid)


def visible(rows: Sequence[Any], shown: str | None) -> list[Any]:
    """Those of the rows (index, uuid, ...) that CUDA_VISIBLE_DEVICES shows, in its order.

    CUDA stops at the first entry that it does not know; an empty variable hides all. A part of a multi-instance GPU is
    on none of the rows; the first stands for it.
    """
    if shown is None:
        return list(rows)
    found: list[Any] = []
    for entry in (part.strip() for part in shown.split(",")):
        row = next((row for row in rows if entry and (row[0] == entry or row[1].startswith(entry))), None)
        if row is None and entry.startswith("MIG-") and rows:
            row = rows[0]
        if row is None:
            break
        found.append(row)
    return found


def _mhz(clock: int | None) -> str | None:
    return None if clock is None else f"{clock} MHz"


def _on(state: int | None) -> str | None:
    return None if state is None else "on" if state else "off"
