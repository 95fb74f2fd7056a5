"""Detects latency regressions in text generation, as pytest tests with measured error rates."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    import pandas

__version__ = "0.1.0"

# A stack of --stacks may be of any Python: what follows would not even be read by an older one.
if sys.version_info < (3, 10):  # noqa: UP036
    raise ImportError("gaudi-perf needs Python 3.10 or later, and this is " + sys.version.split()[0])


def history(directory: str | os.PathLike[str]) -> pandas.DataFrame:
    """Every run under a results directory as a data frame, a row a run, for a notebook.

    Durations are in seconds, memory is in bytes.

    Raises:
        gaudi_perf.vocabulary.errors.UserError: there is no such directory.
    """
    from gaudi_perf.stores.frames import history as read

    return read(directory)
