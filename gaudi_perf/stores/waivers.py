"""Waivers on disk: ``waivers.json`` in the directory of the baselines; ``vocabulary/waiver.py`` has what one covers."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path

from gaudi_perf.stores.files import exclusive, read_bytes, write_atomic
from gaudi_perf.stores.remote import publish
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.waiver import Waiver, Waivers

WAIVERS_FILE = "waivers.json"
_KEY = attrgetter("key")


class WaiverStore:
    """The waivers beside baselines; ``UserError`` if the file is malformed or cannot be read or written."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.path = self.directory / WAIVERS_FILE

    def list(self) -> tuple[Waiver, ...]:
        """All waivers, expired ones too, by device and case."""
        if not self.path.exists():
            return ()
        return tuple(sorted(decode(read_bytes(self.path), Waivers, str(self.path)).waivers, key=_KEY))

    def waived(self, case_id: str, device: Device, stack: Stack, ratio: float | None = None) -> Waiver | None:
        """The waiver by which a regression of this ratio (see ``Waiver.covers``) may pass, or None."""
        return next((waiver for waiver in self.list() if waiver.covers(case_id, device.name, stack, ratio)), None)

    def add(self, waiver: Waiver) -> None:
        """Add a waiver, or put it in the place of that of the same case, device and kind of stack."""
        with exclusive(self.directory):
            others = [other for other in self.list() if other.key != waiver.key]
            self._write([*others, waiver])

    def remove(self, case_id: str, device_name: str) -> tuple[Waiver, ...]:
        """Remove the waivers of a case on a device, and return them; if there is none, ``UserError`` says what is."""
        with exclusive(self.directory):
            before = self.list()
            gone = tuple(waiver for waiver in before if (waiver.case, waiver.device) == (case_id, device_name))
            if not gone:
                there = ", ".join(f"{waiver.case} on {waiver.device}" for waiver in before) or "none"
                raise UserError(f"{self.path}: there is no waiver of {case_id} on {device_name}; there are: {there}")
            self._write([waiver for waiver in before if waiver not in gone])
        return gone

    def _write(self, waivers: Iterable[Waiver]) -> None:
        data = encode(Waivers(waivers=sorted(waivers, key=_KEY)))
        decode(data, Waivers, str(self.path))  # what is stored can be read
        write_atomic(self.path, data)
        publish(self.directory, self.path)
