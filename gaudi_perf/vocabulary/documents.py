"""How documents are decoded and encoded: strictly, and with errors that name the field.

A document is a frozen msgspec struct. Decoding refuses unknown fields and wrong types, so that whatever crossed a
border is whole, or is one clear sentence.
"""

from __future__ import annotations

import math
from typing import Annotated, TypeVar

import msgspec

from gaudi_perf.vocabulary.errors import UserError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
"""A duration in seconds."""
Bytes = Annotated[int, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A short text that people read: a version, a device, a component."""

DocumentT = TypeVar("DocumentT")


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all documents: immutable, with keyword arguments only, refusing unknown fields when decoded."""


def decode(data: bytes | str, kind: type[DocumentT], source: str) -> DocumentT:
    """Decode JSON as one document.

    Args:
        data: JSON text.
        kind: the document's type.
        source: what to call the data in an error, usually the file's path.

    Raises:
        UserError: the data is not JSON, or is not such a document; the sentence names the source and the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # ValidationError is a DecodeError
        raise UserError(f"{source}: not a valid {_title(kind)} document: {_sentence(error)}") from None


def encode(document: msgspec.Struct) -> bytes:
    """Encode a document as JSON for people: indented, in the order of its fields, with a last newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def encode_line(document: msgspec.Struct) -> bytes:
    """Encode a document as one line of JSON, newline included."""
    return msgspec.json.encode(document) + b"\n"


def require_finite(values: list[float], field: str) -> None:
    """Raise ValueError where a duration is not a finite, positive number (msgspec reports it with the document)."""
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{field} has {value!r}, and a duration is a finite number above 0")


def _title(kind: type) -> str:
    return kind.__name__.lower()


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
