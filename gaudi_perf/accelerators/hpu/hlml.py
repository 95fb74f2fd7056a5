"""pyhlml, the binding of the driver's management library, which is optional everywhere."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

_POWER, _THERMAL = 1 << 0, 1 << 1  # HLML_CLOCKS_THROTTLE_REASON_* of hlml.h


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """The module pyhlml with its library opened, and closed at the end.
    Raises ImportError, or what pyhlml raises where the driver's library is not there.
    """
    # pyhlml warns of its own renamings, and prints where the library is not there.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import pyhlml

        pyhlml.hlmlInit()
    try:
        yield pyhlml
    finally:
        with contextlib.suppress(Exception):
            pyhlml.hlmlShutdown()


def throttle_reasons(hlml: Any, device: Any) -> list[str]:
    """Why a device runs slower than it could; empty if it does not.
    Raises what pyhlml raises where the device does not report it.
    """
    mask = int(hlml.hlmlDeviceGetCurrentClocksThrottleReasons(device))
    return [name for bit, name in ((_POWER, "power"), (_THERMAL, "thermal")) if mask & bit]
