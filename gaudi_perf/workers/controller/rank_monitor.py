"""Monitors the ranks of a group, which are children or have agents: finds what is lost, stopped or waited for."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Set
from pathlib import Path
from typing import IO

import msgspec
import psutil
from msgspec.structs import replace

from gaudi_perf.protocol import MISTAKE_STATUS, REPORT, RankReport
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.processes import GroupFailure, status_text

LAST_LINES = 12
_LONGEST_LINE = 1 << 16  # bytes that are read at once
_SETTLE_SECONDS = 0.6
_PAUSE_SECONDS = 5.0
"""Longer between two questions for a failure: nothing was asked, or this process was stopped, and reports wait."""
_CAUSE_SECONDS = 5.0
"""How long to wait for the end of the rank that is the cause, where those that ended did so because of another."""
_LOST_PEER = re.compile(
    r"connection (was likely )?(reset|closed)|(closed|reset) by peer|peer closed|broken pipe|(got|sent) 0 bytes|"
    r"remote process (exited|has terminated)|socket timeout",
    re.IGNORECASE,
)
"""What gloo, NCCL and torch's store say of a peer that is gone; their names stand in errors of a rank's own, too."""
_BY_ITSELF = 1  # of _consequence: at most that for a rank that is a cause
_ANSWER_SECONDS = 1.0
_TOP = 4  # frames that show whether a rank waits for others
_OF_RANK = re.compile(r"\[rank (\d+)\] ?(.*)")
_STACK, _FRAME = "Stack (most recent call first)", 'File "'  # as Python's faulthandler writes them
_WAITS = re.compile(r"torch/distributed/|deepspeed/comm/|workers/rank/communication\.py")
_STOPPED_SECONDS = 2.0
"""How long a rank may be stopped by a signal before the group is ended."""


class RankMonitor:
    """What is known of the ranks of a group; what they write goes to the log, without the agents' reports.

    ``silence_s``: how long an agent may report nothing; it does every second unless its host is gone.
    """

    def __init__(self, log: Path, silence_s: float = Deadlines.host) -> None:
        self._log = log
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._reports: dict[int, RankReport] = {}  # the newest of each rank
        self._heard: dict[int, float] = {}  # when, of those that have not ended
        self._stopped: dict[int, float] = {}  # since when
        self._asked = 0.0  # when, for a failure
        self._ended: list[RankReport] = []
        self._first_end = float("inf")
        self._lines: deque[str] = deque(maxlen=400)
        self._stacks: dict[int, list[str]] = {}
        self._threads: list[threading.Thread] = []
        self._children: dict[int, tuple[subprocess.Popen[bytes], threading.Thread]] = {}

    def read(self, stream: IO[bytes], prefix: bytes = b"") -> threading.Thread:
        """Begin to read what a process and all below it write; each line gets the prefix."""
        thread = threading.Thread(target=self._read, args=(stream, prefix), name="ranks", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def add(self, rank: int, process: subprocess.Popen[bytes]) -> None:
        """Monitor a rank that this process has started, with a pipe for its output."""
        assert process.stdout is not None
        self._children[rank] = process, self.read(process.stdout, b"[rank %d] " % rank)
        self._take(RankReport(rank, os.uname().nodename, process.pid))

    def end(self) -> None:
        """Read no more; every process of the group must be gone, or it learns of it now."""
        for thread in self._threads:
            thread.join(timeout=1.0)

    def name(self, rank: int) -> str:
        """A rank with its process and host."""
        with self._lock:
            report = self._reports.get(rank)
        return f"rank {rank}" if report is None else f"rank {rank} (process {report.pid} on {report.host})"

    def failure(self, phase: str, more: bool = True) -> GroupFailure | None:
        """What to raise where a rank is lost or stopped; of several the cause, as far as can be known.

        ``more`` may be heard while the launcher of the ranks, or one of them, lives.
        """
        self._poll_children()
        now = time.monotonic()
        with self._lock:
            if now - self._asked > _PAUSE_SECONDS:
                self._heard = dict.fromkeys(self._heard, now)
                self._stopped = dict.fromkeys(self._stopped, now)
            self._asked = now
            ended = list(self._ended)
            stopped = [rank for rank, since in self._stopped.items() if now - since > _STOPPED_SECONDS]
            quiet = [rank for rank, heard in self._heard.items() if now - heard > _CAUSE_SECONDS]
            silent = [rank for rank, heard in self._heard.items() if now - heard > self._silence_s]
            known = any(_consequence(report) <= _BY_ITSELF for report in ended) or not self._heard
        for report in ended:
            if report.ended == MISTAKE_STATUS:
                return GroupFailure(phase, report.last, mistake=True)
        if ended:
            if now - self._first_end < (_SETTLE_SECONDS if known or not more else _CAUSE_SECONDS):
                return None  # others may be about to end, and one of them may be the cause
            cause = min(ended, key=_consequence)
            status = cause.ended or 0
            last = f": {cause.last}" if status > 0 and cause.last else ""
            if quiet and more and _consequence(cause) > _BY_ITSELF:
                last += f"; nothing was heard of {self.name(quiet[0])} for {_CAUSE_SECONDS:.0f} s: is that host up?"
            rank, sentence = cause.rank, f"{self.name(cause.rank)} {status_text(status)} in {phase}{last}"
        elif stopped:
            rank = stopped[0]
            sentence = f"{self.name(rank)} was frozen by a signal in {phase}, and its group was ended"
        elif silent:
            rank = silent[0]
            sentence = f"nothing was heard of {self.name(rank)} for {self._silence_s:.0f} s in {phase}"
            sentence += f": is host {self._reports[rank].host} up, and its network?"
        else:
            return None
        return GroupFailure(phase, sentence, self.last_lines(rank))

    def begin_request(self) -> None:
        """A request begins: stacks that ranks wrote before have nothing to do with it."""
        with self._lock:
            self._stacks.clear()

    def waited_for(self, own: Set[int], count: int) -> str:
        """Which of so many ranks keep a silent group of processes waiting, as far as can be known; empty if none is
        found.

        Ranks of this host are asked for their stacks; those of others write them by themselves shortly before a
        deadline (``rank.write_stack_before``). The others wait in a collective for the one that does not.
        """
        self._poll_children()
        here, now = os.uname().nodename, time.monotonic()
        with self._lock:
            never = [rank for rank in range(count) if rank not in self._reports]
            quiet = {rank: now - heard for rank, heard in self._heard.items() if now - heard > _CAUSE_SECONDS}
        if never:
            return f"nothing was heard of rank {never[0]} at all: was it started?"
        for rank, seconds in quiet.items():
            return f"nothing was heard of {self.name(rank)} for {seconds:.0f} s"
        with self._lock:
            ranks = [rank for rank in self._reports if rank in self._heard]
            pids = {self._reports[rank].pid for rank in ranks if self._reports[rank].host == here}
            self._lines.clear()
        for pid in own & pids:  # ranks in a container have numbers of its own, which are other processes here
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGUSR1)
        time.sleep(_ANSWER_SECONDS)
        with self._lock:
            stacks = {rank: stack for rank in ranks if (stack := list(self._stacks.get(rank, [])))}
        busy = [rank for rank, stack in stacks.items() if not any(_WAITS.search(line) for line in stack[:_TOP])]
        if not busy and len(stacks) == len(ranks):
            return "every rank waits for the others in a collective"
        if not busy or len(busy) == len(ranks):
            return ""
        names = ", ".join(self.name(rank) for rank in busy)
        where = stacks[busy[0]][0].partition(_FRAME)[2]
        return f"{names} did not come to where the others wait for it (it is in {where})"

    def last_lines(self, rank: int | None = None) -> str:
        """The last lines that were written, by this rank if it wrote any."""
        with self._lock:
            lines = list(self._lines)
        own = [line for line in lines if rank is not None and f"[rank {rank}]" in line]
        return "\n".join((own or lines)[-LAST_LINES:])

    def _poll_children(self) -> None:
        for rank, (process, reader) in list(self._children.items()):
            report = RankReport(rank, os.uname().nodename, process.pid)
            if process.poll() is None:
                stopped = psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
                self._take(replace(report, stopped=stopped))
                continue
            reader.join(timeout=_SETTLE_SECONDS)  # what it wrote last; its own children may have the pipe open, too
            prefix = f"[rank {rank}] "
            with self._lock:
                own = [line.removeprefix(prefix) for line in self._lines if line.startswith(prefix)]
            self._take(replace(report, ended=process.returncode, last=own[-1][:500] if own else ""))
            del self._children[rank]

    def _read(self, stream: IO[bytes], prefix: bytes) -> None:
        with stream, _log_at(self._log) as log:
            while line := stream.readline(_LONGEST_LINE):
                line = prefix + line.rstrip(b"\n")
                text = line.decode(errors="replace").rstrip()
                before, is_report, report = text.partition(REPORT)
                # Launchers may put a host's name before a line; a rank's own lines begin with its number.
                if is_report and "[rank" not in before:
                    with contextlib.suppress(msgspec.DecodeError):
                        self._take(msgspec.json.decode(report, type=RankReport))
                        continue
                with contextlib.suppress(OSError):  # a full disk costs the log, not the ranks
                    log.write(line + b"\n")
                with self._lock:
                    self._lines.append(text)
                    if of_rank := _OF_RANK.search(text):
                        rank, words = int(of_rank[1]), of_rank[2]
                        if words.startswith(_STACK):
                            self._stacks[rank] = []
                        elif words.lstrip().startswith(_FRAME) and rank in self._stacks:
                            self._stacks[rank].append(words)

    def _take(self, report: RankReport) -> None:
        now = time.monotonic()
        with self._lock:
            self._reports[report.rank] = report
            self._heard[report.rank] = now
            if report.stopped:
                self._stopped.setdefault(report.rank, now)
            else:
                self._stopped.pop(report.rank, None)
            if report.ended is not None:
                self._first_end = min(self._first_end, now)
                self._ended.append(report)
                del self._heard[report.rank]


def _log_at(path: Path) -> IO[bytes]:
    """A log without a buffer, so that what cannot be written is not tried again; none where it cannot be opened."""
    try:
        return path.open("ab", buffering=0)
    except OSError:
        return open(os.devnull, "ab", buffering=0)


def _consequence(report: RankReport) -> int:
    """How likely another rank is the cause: launchers send SIGTERM to the others; one that lost its peer says so."""
    if _LOST_PEER.search(report.last) and report.ended not in (-signal.SIGKILL, -signal.SIGTERM):
        return 3  # NCCL's watchdog aborts the rank that says so
    if report.ended == -signal.SIGTERM:
        return 2
    return 0 if (report.ended or 0) < 0 else _BY_ITSELF
