"""Versions of stacks, and their order."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from gaudi_perf.vocabulary.errors import UserError


def parse_version(text: str) -> Version:
    """Parse a stack's version: ``1.8.0`` < ``1.10.0``, and the preview of a release comes before the release.

    PEP 440's order is used (``1.9.0-preview`` reads as a release candidate of 1.9.0).

    Raises:
        UserError: the text is no version.
    """
    try:
        return Version(text)
    except InvalidVersion:
        raise UserError(f"{text!r} is not a version: write it like 1.24.0 or 1.9.0-preview") from None
