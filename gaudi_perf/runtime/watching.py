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

import msgspec

from gaudi_perf.runtime.keeper import MISTAKE_STATUS, WORD, RankWord
from gaudi_perf.runtime.processes import status_text

_LAST_LINES = 12
_SILENT_SECONDS = 60.0
"""How long a keeper may say nothing; it speaks every second unless its host, or the way to it, is gone."""
_SETTLE_SECONDS = 0.6
_LOST_PEER = re.compile(r"gloo|nccl|hccl|Connection (reset|closed)|Broken pipe", re.IGNORECASE)
_ANSWER_SECONDS = 1.0
_TOP = 4  # frames that tell whether a rank waits for others
_WAITS = re.compile(r"torch/distributed/|deepspeed/comm/|runtime/communication\.py")
_STOPPED_SECONDS = 2.0
"""How long a rank may stand still by a signal before the group is ended."""


class RankWatch:
    """Reads what a launcher and all below it write, into a log, and picks the keepers' words out of it."""

    def __init__(self, log: Path) -> None:
        """Nothing is read yet.

        Args:
            log: where everything but the keepers' words goes.
        """
        self._log = log
        self._lock = threading.Lock()
        self._words: dict[int, RankWord] = {}
        self._heard: dict[int, float] = {}
        self._stopped: dict[int, float] = {}
        self._ended: list[RankWord] = []
        self._first_end = float("inf")
        self._lines: deque[str] = deque(maxlen=400)
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

    def trouble(self, phase: str) -> tuple[int, str] | None:
        """The rank that is lost or stands still, and a sentence about it; None while all is well.

        Of several that were lost, the one that is the cause, as far as can be told.
        """
        now = time.monotonic()
        with self._lock:
            failed = [word for word in self._ended if word.ended]
            if failed and now - self._first_end < _SETTLE_SECONDS:
                return None  # others may be about to say that they ended, and one of them may be the cause
            stopped = [rank for rank, since in self._stopped.items() if now - since > _STOPPED_SECONDS]
            silent = [rank for rank, heard in self._heard.items() if now - heard > _SILENT_SECONDS]
        if failed:
            word = min(failed, key=_consequence)
            assert word.ended is not None
            told = f": {word.last}" if word.ended > 0 and word.last else ""
            return word.rank, f"{self.name(word.rank)} {status_text(word.ended)} in {phase}{told}"
        if stopped:
            return stopped[0], f"{self.name(stopped[0])} was frozen by a signal in {phase}, and its group was ended"
        if silent:
            return silent[0], (
                f"nothing was heard of {self.name(silent[0])} for {_SILENT_SECONDS:.0f} s in {phase}: is its host up?"
            )
        return None

    def blamed(self, own: Set[int]) -> str:
        """Which ranks keep a silent group waiting, as far as ranks of this host can tell; empty if none is found.

        Every rank is asked where it stands; the others wait in a collective for the one that does not.

        Args:
            own: the group's processes. Ranks in a container tell numbers of its own, which are other processes here.
        """
        here = os.uname().nodename
        with self._lock:
            ranks = {rank: word.pid for rank, word in self._words.items() if word.host == here and rank in self._heard}
            self._lines.clear()
        for pid in own & set(ranks.values()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGUSR1)
        time.sleep(_ANSWER_SECONDS)
        with self._lock:
            lines = list(self._lines)
        stacks = {rank: [line for line in lines if f"[rank {rank}]" in line and 'File "' in line] for rank in ranks}
        waiting = {rank for rank, stack in stacks.items() if any(_WAITS.search(line) for line in stack[:_TOP])}
        busy = [rank for rank, stack in stacks.items() if stack and rank not in waiting]
        if not waiting or not busy:
            return ""
        names = ", ".join(self.name(rank) for rank in busy)
        where = stacks[busy[0]][0].partition('File "')[2]
        return f"{names} did not come to where the others wait for it (it is in {where})"

    def last_lines(self, rank: int | None = None) -> str:
        """The last lines that were written, by this rank if it wrote any."""
        with self._lock:
            lines = list(self._lines)
        own = [line for line in lines if rank is not None and f"[rank {rank}]" in line]
        return "\n".join((own or lines)[-_LAST_LINES:])

    def _read(self) -> None:
        assert self._reader is not None
        with contextlib.suppress(OSError), os.fdopen(self._reader, "rb") as stream, self._log.open("ab") as log:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                before, is_word, word = text.partition(WORD)
                # Launchers may put a host's name before a line; a rank's own lines begin with its number.
                if is_word and "[rank" not in before:
                    with contextlib.suppress(msgspec.DecodeError):
                        self._take(self._decoder.decode(word))
                        continue
                log.write(line)
                log.flush()
                with self._lock:
                    self._lines.append(text)

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


def _consequence(word: RankWord) -> int:
    """How likely a rank ended because another had: a killed one did not, one that lost its peer did."""
    if (word.ended or 0) < 0:
        return 0
    return 2 if _LOST_PEER.search(word.last) else 1
