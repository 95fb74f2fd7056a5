"""Versions of stacks, and their order."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from gaudi_perf.vocabulary.errors import UserError


def parse_version(text: str) -> Version:
    """A stack's version by PEP 440's order: ``1.8.0`` < ``1.10.0``, and ``1.9.0-preview`` comes before ``1.9.0``.
    Raises UserError if the text is no version.
    """
    try:
        if text != text.strip():
            raise InvalidVersion(text)  # packaging would forgive it, but a version is also part of a file's name
        return Version(text)
    except ValueError:  # InvalidVersion is one; a number of thousands of digits is another
        raise UserError(f"{text[:80]!r} is not a version: write it like 1.24.0 or 1.9.0-preview") from None


def require_version(text: str) -> None:
    """Raise ValueError where a document's version has no place in the order."""
    try:
        parse_version(text)
    except UserError as error:
        raise ValueError(str(error)) from None
