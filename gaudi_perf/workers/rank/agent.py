"""A keeper: starts one rank, tells the controller how it fares, and ends it when nobody listens any more.

One keeper per rank is what DeepSpeed's launcher starts, on every host. It imports no torch, so it answers while its
rank hangs in a collective, a driver or an import. It speaks by lines on standard output, which every launcher passes on
to the controller, from other hosts, too; when that pipe breaks, the controller is gone and the rank is ended.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import psutil

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.launchers.environment import show_devices, unpacked
from gaudi_perf.workers.processes import MARK, die_with_parent, marked

WORD = "gaudi-perf-rank "
"""What a keeper's own lines begin with."""
STARTED = "_GAUDI_PERF_RANK_STARTED"
"""Environment variable with the time at which a rank was started, in seconds since 1970."""
PATIENCE = "_GAUDI_PERF_PATIENCE"
"""Environment variable with the seconds after which a rank that still starts tells where it stands."""
ALIVE = "alive"
"""Name of a pipe beside the socket, which the controller has open while it lives, where there are several hosts."""
MISTAKE_STATUS = 78  # EX_CONFIG of sysexits.h
"""Exit status of a rank whose last line is a sentence about a mistake that a person can mend."""
_BEAT_SECONDS = 1.0
_STAY_SECONDS = 5.0
"""How long a keeper stays once its rank has failed: when one leaves, launchers end the others and lose their words."""
_LOOK_SECONDS = 0.1
_READ = 1 << 16
_PIECE = 900
"""Bytes of a rank's line that are passed on at once: longer ones may be mixed with other keepers' words."""

# The names that launchers give to rank, number of ranks, rank on this host and number of ranks on this host.
_NAMES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"),
)


class RankWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a keeper says of its rank.

    Attributes:
        rank: which.
        host: where.
        pid: the process id of the rank on its host; 0 before it is started.
        stopped: the number of the signal that stopped it, if it stands still.
        ended: its exit status, negative for a signal, once it has ended.
        last: its last line, once it has ended.
        mistake: a sentence about a mistake for which it was not started.
    """

    rank: int
    host: str
    pid: int = 0
    stopped: int | None = None
    ended: int | None = None
    last: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class Place:
    """Where a rank is among the others."""

    rank: int
    ranks: int
    local_rank: int
    local_ranks: int


def place_in(environment: Mapping[str, str]) -> Place:
    """The place that a launcher gave to this process.

    Raises:
        UserError: no launcher that is known.
    """
    for names in _NAMES:
        values = [environment.get(name, "") for name in names]
        if all(value.isdecimal() for value in values[:3]):
            local = int(values[3]) if values[3].isdecimal() else int(values[2]) + 1
            return Place(int(values[0]), int(values[1]), int(values[2]), local)
    raise UserError("the launcher tells no rank: --launcher takes those that DeepSpeed knows")


class Keeper:
    """Keeps one rank."""

    def __init__(self, place: Place, arguments: argparse.Namespace) -> None:
        self._place = place
        self._arguments = arguments
        self._host = os.uname().nodename
        self._rest = b""
        self._last = ""
        self._prefix = f"[rank {place.rank}] ".encode()

    def keep(self) -> int:
        """Start the rank and watch it to its end; returns the exit status of the keeper."""
        mistake = self._mistake()
        if mistake:
            self._say(mistake=mistake)
            return MISTAKE_STATUS
        rank = subprocess.Popen(
            [sys.executable, "-u", "-m", "gaudi_perf.workers.rank.rank", *self._told()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._variables()},
        )
        try:
            return self._watch(rank)
        finally:
            with contextlib.suppress(ProcessLookupError):
                rank.kill()

    def _watch(self, rank: subprocess.Popen[bytes]) -> int:
        assert rank.stdout is not None
        output = rank.stdout.fileno()
        os.set_blocking(output, False)
        stopped: int | None = None
        stays_until: float | None = None
        speaks = True
        next_beat = 0.0
        poller = select.poll()
        poller.register(output, select.POLLIN)
        poller.register(sys.stdout.fileno(), 0)  # errors only: the reader is gone
        controller = self._controller()
        if controller is not None:
            poller.register(controller, 0)
        told_to_end = False

        def end(*_: object) -> None:
            nonlocal told_to_end
            told_to_end = True

        signal.signal(signal.SIGTERM, end)
        while True:
            leaving = told_to_end  # before the rank is looked at: what is seen then is not older
            events = dict(poller.poll(_LOOK_SECONDS * 1000))
            if controller in events:
                self._end_launchers()
            if controller in events or sys.stdout.fileno() in events:
                rank.kill()
                _end_deepspeed_s_launcher()
                return 1
            if output in events and not self._pass_on(output):
                poller.unregister(output)
                speaks = False
            if stays_until is not None:
                if leaving or time.monotonic() >= stays_until:
                    return 1
                continue
            pid, status = os.waitpid(rank.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid and os.WIFSTOPPED(status):
                stopped, next_beat = os.WSTOPSIG(status), 0.0
            elif pid and os.WIFCONTINUED(status):
                stopped = None
            elif pid:
                rank.returncode = os.waitstatus_to_exitcode(status)
                while self._pass_on(output):
                    pass
                self._say(pid=rank.pid, ended=rank.returncode, last=self._last[:500])
                if rank.returncode in (0, MISTAKE_STATUS):
                    return rank.returncode
                stays_until = time.monotonic() + _STAY_SECONDS
                continue
            # One that is silent is ending, for which a launcher ends all keepers: its word is the cause.
            if leaving and speaks:
                return 1
            if time.monotonic() >= next_beat:
                self._say(pid=rank.pid, stopped=stopped)
                next_beat = time.monotonic() + _BEAT_SECONDS

    def _controller(self) -> int | None:
        """A pipe that breaks when the controller ends, at rank 0 of several hosts.

        Launchers of MPI and Slurm outlive it, and go on to read what keepers say.
        """
        path = os.path.join(os.path.dirname(self._arguments.socket), ALIVE)
        if self._place.rank != 0 or not os.path.exists(path):
            return None
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    @staticmethod
    def _end_launchers() -> None:
        """End what the controller started on this host; launchers end what they started on others."""
        for process in marked(os.environ[MARK]):
            if process.pid != os.getpid():
                with contextlib.suppress(psutil.Error):
                    process.terminate()

    def _pass_on(self, output: int) -> bool:
        """Pass on what the rank has written, by lines; whether there may be more."""
        try:
            data = os.read(output, _READ)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._last = line.decode(errors="replace").strip() or self._last
            for begin in range(0, max(len(line), 1), _PIECE):
                self._write(self._prefix + line[begin : begin + _PIECE])
        return bool(data)

    def _say(self, **words: object) -> None:
        word = RankWord(rank=self._place.rank, host=self._host, **words)  # type: ignore[arg-type]
        self._write(WORD.encode() + msgspec.json.encode(word))

    @staticmethod
    def _write(line: bytes) -> None:
        left = line + b"\n"
        with contextlib.suppress(OSError):  # the poll finds a broken pipe
            while left:
                left = left[os.write(sys.stdout.fileno(), left) :]

    def _mistake(self) -> str:
        if self._place.rank == 0 and not os.path.exists(self._arguments.socket):
            return (
                f"rank 0 was started on {self._host}, where the socket of pytest is not: run pytest on the first host "
                "of --hostfile"
            )
        if self._place.local_rank != 0:
            return ""
        found = accelerator_named(self._arguments.engine, processes=self._place.local_ranks).find()
        count = found.count if found is not None else 0
        if count < self._place.local_ranks:
            return (
                f"host {self._host} has {count} {self._arguments.engine} devices, and is asked for "
                f"{self._place.local_ranks}: mend its slots in --hostfile, or see gaudi-perf doctor there"
            )
        return ""

    def _told(self) -> list[str]:
        told = self._arguments
        return [
            "--engine",
            told.engine,
            "--socket",
            told.socket,
            "--meeting",
            told.meeting,
            "--parent",
            str(os.getpid()),
        ]

    def _variables(self) -> dict[str, str]:
        place = self._place
        accelerator = accelerator_named(self._arguments.engine)
        return {
            "RANK": str(place.rank),
            "WORLD_SIZE": str(place.ranks),
            "LOCAL_RANK": str(place.local_rank),
            "LOCAL_SIZE": str(place.local_ranks),
            "DS_ACCELERATOR": accelerator.kind,
            STARTED: repr(time.time()),
        }


def _end_deepspeed_s_launcher() -> None:
    """End what started this keeper where nobody listens any more; by itself it takes half a minute."""
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(os.getppid())
        if "deepspeed.launcher.launch" in parent.cmdline():
            parent.kill()


def main() -> None:
    """Keep a rank for as long as the launcher lives."""
    parser = argparse.ArgumentParser(description="A keeper of gaudi-perf; started by a launcher, not by hand.")
    parser.add_argument("--engine", required=True, help="the name of the accelerator")
    parser.add_argument("--socket", required=True, help="path of the controller's Unix domain socket")
    parser.add_argument("--meeting", required=True, help="where ranks find each other, as file:// or tcp://")
    arguments = parser.parse_args()
    die_with_parent(os.getppid())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.update(unpacked(os.environ))
    show_devices(os.environ)
    try:
        keeper = Keeper(place_in(os.environ), arguments)
    except UserError as error:
        sys.exit(str(error))
    sys.exit(keeper.keep())


if __name__ == "__main__":
    main()
