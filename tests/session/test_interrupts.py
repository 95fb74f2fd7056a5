"""Signals that end a session."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, time
from gaudi_perf.session.interrupts import ending_orderly

signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background they are ignored
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)

def say(line):
    os.write(1, f"{line}\\n".encode())  # at once: a signal may come while a buffer is written

with ending_orderly(say):
    try:
        say("begun")
        time.sleep(60)
    except KeyboardInterrupt as error:
        say(error)
        time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_first_is_raised_the_second_answered_the_third_obeyed(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        answers = []
        for _ in range(3):
            answers.append(process.stdout.readline().strip())
            process.send_signal(how)
        assert answers[:2] == ["begun", how.name] and answers[2].startswith("ending what was started; a third signal")
        assert process.wait(30) == -how and process.stderr.read() == ""
