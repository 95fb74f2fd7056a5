"""Programs that deliver: found, run with a limit of time, and never given a secret as an argument."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from gaudi_perf.reports.text import harmless
from gaudi_perf.vocabulary.errors import UserError

_SECONDS = 60.0


def run(words: Sequence[str], given: str = "", *, remedy: str) -> str:
    """What a program prints.
    Raises UserError, which ends with the remedy, if it is not there, fails, or takes more than a minute.
    """
    shown = " ".join(words[:3])
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{shown}: no answer within {_SECONDS:g} seconds: {remedy}") from None
    except OSError as error:
        raise UserError(f"{shown}: cannot be started ({error.strerror}): {remedy}") from None
    if done.returncode:
        said = harmless(" ".join(done.stderr.split())[-300:]) or f"exit status {done.returncode}"
        raise UserError(f"{shown}: {said}: {remedy}")
    return done.stdout
