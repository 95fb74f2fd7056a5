"""Logs of workers as they are kept: of a bounded size, harmless to show, and without what may be a secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import escaped
from gaudi_perf.vocabulary.secrecy import without_secrets

_HEAD, _TAIL = 64 * 1024, 960 * 1024
"""Bytes that are kept of a log's beginning and of its end."""


def keep(log: Path | None, environment: Mapping[str, str], results: ResultsStore, session_id: str, name: str) -> str:
    """Keep the whole log of a worker that failed beside the session's runs, under the name of a case.
    Returns a sentence that says where it is, or why it is not kept; empty without a log.
    """
    if log is None:
        return ""
    try:
        path = results.write_log(session_id, name, kept_text(log, environment))
    except (OSError, UserError) as error:
        return f"the worker's log is not kept: {error}"
    return f"the worker's whole log: {path}"


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
