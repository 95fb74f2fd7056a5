"""What the devices' own instruments reported during a run."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.documents import Bytes, Count, Document, Name, PositiveInt

Moment = Literal["before", "during", "after"]
"""When a sample was taken: before the warm-up, during the timed rounds, right after them."""

Reading = Annotated[float, msgspec.Meta(ge=-300, le=1e9)]


class DeviceSample(Document, frozen=True):
    """One device (its index on this host, as the vendor's tools count) at one moment; None is a reading that it does
    not give.

    Attributes:
        clock_mhz: clock of the compute engines.
        memory_used_bytes: by all processes.
        throttle_reasons: why the device runs slower than it could (``power``, ``thermal``), reasons that are no fault
            (it is idle, somebody fixed its clock) left out.
        limits: what else holds its clock below the highest, by design: ``power limit`` on GPUs.
    """

    device: Count
    moment: Moment = "during"
    clock_mhz: Reading | None = None
    temperature_c: Reading | None = None
    power_w: Reading | None = None
    memory_used_bytes: Bytes | None = None
    throttle_reasons: list[Name] = []
    memory_clock_mhz: Reading | None = None
    limits: list[Name] = []


class DeviceProcess(Document, frozen=True):
    """A process that holds a device; its number is the one where the vendor's tool looks from (the host's, usually)."""

    device: Count
    pid: PositiveInt
    name: str = ""
    memory_bytes: Bytes | None = None

    @property
    def label(self) -> str:
        """For people: ``python (process 4711) on device 3``."""
        return f"{self.name or 'a process'} (process {self.pid}) on device {self.device}"


class Telemetry(Document, frozen=True):
    """What was reported around the timed rounds of a run.

    Attributes:
        source: for instance ``pyhlml``.
        samples: of the devices that the run used (of all, where those are not known), in order of time.
        foreign_processes: processes of others that were on these devices before the warm-up or after the rounds.
        unclear_processes: those on devices with several, of which none is known as this run's: it runs in a container
            whose processes have numbers of its own, and whether one of these is another's cannot be known.
        notes: what the source cannot know here (a virtual GPU's other users), and what it failed to report.
    """

    source: Name
    samples: list[DeviceSample] = []
    foreign_processes: list[DeviceProcess] = []
    unclear_processes: list[DeviceProcess] = []
    notes: list[str] = []

    def throttled(self) -> dict[int, list[str]]:
        """Why each device was throttled in or right after the rounds, by its index; others are not in it."""
        found: dict[int, dict[str, None]] = {}
        for sample in self.samples:
            if sample.moment != "before" and sample.throttle_reasons:
                found.setdefault(sample.device, {}).update(dict.fromkeys(sample.throttle_reasons))
        return {device: list(reasons) for device, reasons in found.items()}
