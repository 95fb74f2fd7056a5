"""Signals that end a session: what it started and its files go with it, and what it has found is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextlib.contextmanager
def ending_orderly(say: Callable[[str], None]) -> Iterator[None]:
    """The first of these signals raises KeyboardInterrupt, the second is answered, the third is obeyed.

    A signal that is ignored on entry (nohup) stays ignored. ``say`` takes a line for people.
    """
    if threading.current_thread() is not threading.main_thread():  # no other may set handlers
        yield
        return
    handlers = ((number, signal.getsignal(number)) for number in _ENDING)
    before: dict[int, Any] = {number: handler for number, handler in handlers if handler is not signal.SIG_IGN}
    received = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received == 1:
            raise KeyboardInterrupt(signal.Signals(number).name)
        if received == 2:
            say("ending what was started; a third signal ends at once, and the next session removes what is left")
            return
        for one, handler in before.items():  # Python's own for SIGINT would raise, and show where
            signal.signal(one, signal.SIG_DFL if handler is signal.default_int_handler else handler)
        os.kill(os.getpid(), number)

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is end:
                signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """These signals wait until it is left: for what must come to its end, and is bounded in time."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
