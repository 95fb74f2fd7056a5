"""What a person wrote about a case."""

from __future__ import annotations

from typing import Literal

from gaudi_perf.vocabulary.documents import Document, Name, Text
from gaudi_perf.vocabulary.run import require_timestamp


class Note(Document, frozen=True, kw_only=True):
    """A note on a case, on one device or (empty) on any; added at a time in UTC."""

    case: Name
    text: Text
    added_at: str
    device: str = ""

    def __post_init__(self) -> None:
        require_timestamp(self.added_at, "added_at")
        if not self.text.strip():
            raise ValueError("the text is empty")

    def about(self, case_id: str, device: str) -> bool:
        """Whether it is about this case on this device."""
        return self.case == case_id and self.device in ("", device)


class Notes(Document, frozen=True, kw_only=True):
    """All notes, oldest first: the file ``notes.json`` in the results directory."""

    schema: Literal["gaudi-perf/notes/1"] = "gaudi-perf/notes/1"
    notes: list[Note] = []
