"""The errors that are reported to people in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that its maker can mend: one sentence that names the file, field or option and the remedy."""


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Add the sentence of a ``UserError`` to the problems, and go on behind the block."""
    try:
        yield
    except UserError as error:
        problems.append(str(error))


class NotNumbersError(ValueError):
    """Logits of a worker are infinite, or no numbers."""
