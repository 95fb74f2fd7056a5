"""Logs of workers as they are kept: of a bounded size, harmless to show, and without what may be a secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gaudi_perf.vocabulary.formats import escaped
from gaudi_perf.vocabulary.secrecy import without_secrets

_HEAD, _TAIL = 64 * 1024, 960 * 1024
"""Bytes that are kept of a log's beginning and of its end."""


def kept_text(log: Path, environment: Mapping[str, str]) -> str:
    """What is kept of a worker's log: not the values of its variables that are called TOKEN, SECRET and the like.
    Raises OSError if the log cannot be read.
    """
    with log.open("rb") as file:
        left_out = file.seek(0, 2) - _HEAD - _TAIL
        file.seek(0)
        data = file.read(_HEAD)
        if left_out > 0:
            file.seek(-_TAIL, 2)
            data += f"\n... {left_out} bytes are left out ...\n".encode()
        data += file.read()
    text = data.decode(errors="backslashreplace")
    return escaped(without_secrets(text, environment), keep="\n\t")
