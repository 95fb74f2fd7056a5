"""What the keepers of a group say of its ranks, and what is wrong with one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Set
from pathlib import Path
from typing import BinaryIO

import msgspec

from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.processes import status_text
from gaudi_perf.workers.rank.agent import MISTAKE_STATUS, WORD, RankWord

_LAST_LINES = 12
_SETTLE_SECONDS = 0.6
_CAUSE_SECONDS = 5.0
"""How long the word of a rank that ended first may take, where those known to have ended did so because of it."""
_LOST_PEER = re.compile(
    r"connection (was likely )?(reset|closed)|(closed|reset) by peer|peer closed|broken pipe|(got|sent) 0 bytes|"
    r"remote process (exited|has terminated)|socket timeout",
    re.IGNORECASE,
)
"""What gloo, NCCL and torch's store say of a peer that is gone; their names stand in errors of a rank's own, too."""
_BY_ITSELF = 1  # of _consequence: at most that for a rank that is a cause
_ANSWER_SECONDS = 1.0
_TOP = 4  # frames that tell whether a rank waits for others
_OF_RANK = re.compile(r"\[rank (\d+)\] ?(.*)")
_STACK, _FRAME = "Stack (most recent call first)", 'File "'  # as Python's faulthandler writes them
_WAITS = re.compile(r"torch/distributed/|deepspeed/comm/|workers/rank/communication\.py")
_STOPPED_SECONDS = 2.0
"""How long a rank may stand still by a signal before the group is ended."""


class RankWatch:
    """Reads what a launcher and all below it write, into a log, and picks the keepers' words out of it."""

    def __init__(self, log: Path, silence_s: float = Deadlines.host) -> None:
        """Nothing is read yet.

        Args:
            log: where everything but the keepers' words goes.
            silence_s: how long a keeper may say nothing; it speaks every second unless its host, or the way to it, is
                gone.
        """
        self._log = log
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._words: dict[int, RankWord] = {}
        self._heard: dict[int, float] = {}
        self._stopped: dict[int, float] = {}
        self._ended: list[RankWord] = []
        self._first_end = float("inf")
        self._lines: deque[str] = deque(maxlen=400)
        self._stacks: dict[int, list[str]] = {}
        self._decoder = msgspec.json.Decoder(RankWord)
        self._reader: int | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> int:
        """Begin to read; returns where the launcher is to write, which the caller closes once it is started."""
        self._reader, writer = os.pipe()
        self._thread = threading.Thread(target=self._read, name="ranks", daemon=True)
        self._thread.start()
        return writer

    def end(self) -> None:
        """Read no more; every process of the group must be gone, or it learns of it now."""
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    @property
    def started(self) -> int:
        """How many ranks are known to have been started."""
        with self._lock:
            return len(self._words)

    @property
    def all_ended(self) -> bool:
        """Whether every rank that was started is known to have ended."""
        with self._lock:
            return bool(self._words) and not self._heard

    def name(self, rank: int) -> str:
        """A rank with its process and host."""
        with self._lock:
            word = self._words.get(rank)
        return f"rank {rank}" if word is None or not word.pid else f"rank {rank} (process {word.pid} on {word.host})"

    def mistake(self) -> str:
        """A mistake that a person can mend, which a rank has found; else empty."""
        with self._lock:
            for word in self._ended:
                if word.mistake or word.ended == MISTAKE_STATUS:
                    return word.mistake or word.last
        return ""

    def trouble(self, phase: str, more: bool = True) -> tuple[int, str] | None:
        """The rank that is lost or stands still, and a sentence about it; None while all is well.

        Of several that were lost, the one that is the cause, as far as can be told.

        Args:
            phase: what the group is doing.
            more: whether keepers may still say something: their launcher lives.
        """
        now = time.monotonic()
        with self._lock:
            failed = [word for word in self._ended if word.ended]
            told = any(_consequence(word) <= _BY_ITSELF for word in failed) or not self._heard
            patience = _SETTLE_SECONDS if told or not more else _CAUSE_SECONDS
            if failed and now - self._first_end < patience:
                return None  # others may be about to say that they ended, and one of them may be the cause
            stopped = [rank for rank, since in self._stopped.items() if now - since > _STOPPED_SECONDS]
            quiet = [rank for rank, heard in self._heard.items() if now - heard > _CAUSE_SECONDS]
            silent = [rank for rank, heard in self._heard.items() if now - heard > self._silence_s]
        if failed:
            word = min(failed, key=_consequence)
            assert word.ended is not None
            words = f": {word.last}" if word.ended > 0 and word.last else ""
            if quiet and more and _consequence(word) > _BY_ITSELF:
                words += f"; nothing was heard of {self.name(quiet[0])} for {_CAUSE_SECONDS:.0f} s: is that host up?"
            return word.rank, f"{self.name(word.rank)} {status_text(word.ended)} in {phase}{words}"
        if stopped:
            return stopped[0], f"{self.name(stopped[0])} was frozen by a signal in {phase}, and its group was ended"
        if silent:
            return silent[0], (
                f"nothing was heard of {self.name(silent[0])} for {self._silence_s:.0f} s in {phase}: is host "
                f"{self._host(silent[0])} up, and its network?"
            )
        return None

    def _host(self, rank: int) -> str:
        with self._lock:
            return self._words[rank].host

    def asked(self) -> None:
        """A request begins: where ranks stood before says nothing of it."""
        with self._lock:
            self._stacks.clear()

    def blamed(self, own: Set[int]) -> str:
        """Which ranks keep a silent group waiting, as far as can be told; empty if none is found.

        Ranks of this host are asked where they stand; those of others tell it by themselves shortly before a deadline
        (``rank.tell_before``). The others wait in a collective for the one that does not.

        Args:
            own: the group's processes. Ranks in a container tell numbers of its own, which are other processes here.
        """
        here = os.uname().nodename
        with self._lock:
            ranks = [rank for rank in self._words if rank in self._heard]
            pids = {self._words[rank].pid for rank in ranks if self._words[rank].host == here}
            self._lines.clear()
        for pid in own & pids:
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
        return "\n".join((own or lines)[-_LAST_LINES:])

    def _read(self) -> None:
        assert self._reader is not None
        with os.fdopen(self._reader, "rb") as stream, _log_at(self._log) as log:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                before, is_word, word = text.partition(WORD)
                # Launchers may put a host's name before a line; a rank's own lines begin with its number.
                if is_word and "[rank" not in before:
                    with contextlib.suppress(msgspec.DecodeError):
                        self._take(self._decoder.decode(word))
                        continue
                with contextlib.suppress(OSError):  # a full disk costs the log, not the ranks
                    log.write(line)
                with self._lock:
                    self._lines.append(text)
                    self._note_stack(text)

    def _note_stack(self, text: str) -> None:
        of_rank = _OF_RANK.search(text)
        if of_rank is None:
            return
        rank, words = int(of_rank[1]), of_rank[2]
        if words.startswith(_STACK):
            self._stacks[rank] = []
        elif words.lstrip().startswith(_FRAME) and rank in self._stacks:
            self._stacks[rank].append(words)

    def _take(self, word: RankWord) -> None:
        now = time.monotonic()
        with self._lock:
            self._words[word.rank] = word
            self._heard[word.rank] = now
            if word.stopped is None:
                self._stopped.pop(word.rank, None)
            else:
                self._stopped.setdefault(word.rank, now)
            if word.ended is not None or word.mistake:
                self._first_end = min(self._first_end, now)
                self._ended.append(word)
                del self._heard[word.rank]


def _log_at(path: Path) -> BinaryIO:
    """A log without a buffer, so that what cannot be written is not tried again; none where it cannot be opened."""
    try:
        return path.open("ab", buffering=0)
    except OSError:
        return open(os.devnull, "ab", buffering=0)


def _consequence(word: RankWord) -> int:
    """How likely a rank ended because another had.

    A killed one did not, nor one with an error of its own; launchers send SIGTERM to all that are left, and one that
    lost its peer says so.
    """
    if _LOST_PEER.search(word.last) and word.ended not in (-signal.SIGKILL, -signal.SIGTERM):
        return 3  # NCCL's watchdog aborts the rank that says so
    if word.ended == -signal.SIGTERM:
        return 2
    return 0 if (word.ended or 0) < 0 else _BY_ITSELF
