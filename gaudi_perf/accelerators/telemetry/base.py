"""What a source of telemetry is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample


class TelemetrySource(ABC):
    """Reads the devices of this host, in a process of its own. Its constructor opens the vendor's library.

    The constructor and the methods may raise whatever the library raises; the run then goes without telemetry.

    Attributes:
        name: as in ``Telemetry.source``.
    """

    name: ClassVar[str]

    @abstractmethod
    def sample(self) -> list[DeviceSample]:
        """Every device, now; in milliseconds, since it is called during the timed rounds. ``moment`` is set later."""

    @abstractmethod
    def processes(self) -> list[DeviceProcess]:
        """Every process on the devices, the suite's own ones too; called before and after the rounds, may take long."""

    def begin(self) -> None:
        """The timed rounds begin: whatever is counted from one sample to the next counts from now."""
        return None

    def notes(self) -> list[str]:
        """What cannot be known here, and what failed to be told, in sentences for people."""
        return []

    def close(self) -> None:
        """Close the library."""
        return None
