"""Logs of workers as they are kept: of a bounded size, harmless to show, and without what may be a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gaudi_perf.vocabulary.secrecy import SECRET_NAME

_HEAD, _TAIL = 64 * 1024, 960 * 1024
"""Bytes that are kept of a log's beginning and of its end."""
_SHORTEST_SECRET = 6  # characters; shorter values stand everywhere by chance
_SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),  # tokens of the Hugging Face hub
    re.compile(r"(?<=Bearer )\S+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # user and password of an address
)
_HIDDEN = "***"


def kept_text(log: Path, environment: Mapping[str, str]) -> str:
    """What is kept of a worker's log.

    Args:
        environment: the worker's; values of variables that are called TOKEN, SECRET and the like are left out.

    Raises:
        OSError: the log cannot be read.
    """
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size <= _HEAD + _TAIL:
            data = file.read()
        else:
            head = file.read(_HEAD)
            file.seek(-_TAIL, 2)
            data = head + f"\n... {size - _HEAD - _TAIL} bytes are left out ...\n".encode() + file.read()
    text = data.decode(errors="backslashreplace")
    values = [value for name, value in environment.items() if SECRET_NAME.search(name)]
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, _HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(_HIDDEN, text)
    return "".join(
        character if character.isprintable() or character in "\n\t" else character.encode("unicode_escape").decode()
        for character in text
    )
