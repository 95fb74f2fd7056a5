"""The errors that are reported to people in one sentence."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that its maker can mend: one sentence that names the file, field or option and the remedy."""


class NotNumbersError(ValueError):
    """Logits of a worker are infinite, or no numbers."""
