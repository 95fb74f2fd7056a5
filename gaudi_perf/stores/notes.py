"""Notes of people on cases, on disk: ``notes.json`` in the results directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gaudi_perf.stores.files import exclusive, read_bytes, write_atomic
from gaudi_perf.stores.remote import publish
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.note import Note, Notes

NOTES_FILE = "notes.json"


class NotesStore:
    """The notes beside results; ``UserError`` if the file is malformed or cannot be read or written."""

    def __init__(self, results: Path) -> None:
        self.directory = results
        self.path = results / NOTES_FILE

    def list(self) -> tuple[Note, ...]:
        """All notes, oldest first."""
        if not self.path.exists():
            return ()
        return tuple(decode(read_bytes(self.path), Notes, str(self.path)).notes)

    def add(self, note: Note) -> None:
        """Add a note."""
        with exclusive(self.directory):
            self._write([*self.list(), note])

    def remove(self, number: int) -> Note:
        """Remove the note of this number, counted from 1 as in the list; ``UserError`` if there is none."""
        with exclusive(self.directory):
            notes = list(self.list())
            if not 0 < number <= len(notes):
                raise UserError(f"{self.path}: there is no note {number}: there are {len(notes)}, see --list")
            gone = notes.pop(number - 1)
            self._write(notes)
        return gone

    def _write(self, notes: Sequence[Note]) -> None:
        write_atomic(self.path, encode(Notes(notes=list(notes))))
        publish(self.directory, self.path)
