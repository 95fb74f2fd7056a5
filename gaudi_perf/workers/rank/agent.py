"""A rank agent: starts one rank where the controller cannot, on several hosts and in a container.

It imports no torch, so it reports while its rank hangs in a collective, a driver or an import. Its reports are lines on
standard output, which every launcher passes on to the controller; when that pipe breaks, the rank is ended.
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

import msgspec
import psutil

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.rank.parent_death import die_with_parent

_REPORT_SECONDS = 1.0
_STAY_SECONDS = 5.0
"""How long an agent stays once its rank has failed: when one leaves, launchers end the others, reports are lost."""
_POLL_SECONDS = 0.1
_READ = 1 << 16
_PIECE = 900
"""Bytes of a rank's line that are passed on at once: longer ones may be mixed with other agents' reports."""

# The names that launchers give to rank, number of ranks, rank on this host and number of ranks on this host.
_NAMES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"),
)


def place_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The place that a launcher gave to this process, by the names that a rank and DeepSpeed read, or UserError."""
    for names in _NAMES:
        rank, ranks, local_rank, local_ranks = (environment.get(name, "") for name in names)
        if rank.isdecimal() and ranks.isdecimal() and local_rank.isdecimal():
            local_ranks = local_ranks if local_ranks.isdecimal() else str(int(local_rank) + 1)
            return dict(zip(_NAMES[0], (rank, ranks, local_rank, local_ranks), strict=True))
    raise UserError("the launcher gives no rank to what it starts: --launcher takes those that DeepSpeed knows")


class RankAgent:
    """Holds one rank."""

    def __init__(self, rank: int, socket: str) -> None:
        self._rank = rank
        self._socket = socket
        self._host = os.uname().nodename
        self._rest = b""
        self._last = ""
        self._prefix = f"[rank {rank}] ".encode()
        self._asked_to_end = False

    def run(self, arguments: list[str], variables: Mapping[str, str]) -> int:
        """Start the rank with more variables, and monitor it to its end; returns the exit status of the agent."""
        rank = subprocess.Popen(
            [sys.executable, "-u", "-m", "gaudi_perf.workers.rank.rank", *arguments, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables, protocol.STARTED: repr(time.time())},
        )
        try:
            return self._monitor(rank)
        finally:
            with contextlib.suppress(ProcessLookupError):
                rank.kill()

    def _monitor(self, rank: subprocess.Popen[bytes]) -> int:
        assert rank.stdout is not None
        output = rank.stdout.fileno()
        os.set_blocking(output, False)
        stopped, leaves_at, next_report, writes = False, None, 0.0, True
        poller = select.poll()
        poller.register(output, select.POLLIN)
        poller.register(sys.stdout.fileno(), 0)  # errors only: the reader is gone
        controller, path = None, os.path.join(os.path.dirname(self._socket), protocol.ALIVE)
        if self._rank == 0 and os.path.exists(path):
            # Launchers of MPI and Slurm, and containers, outlive the controller, and go on to read what agents write.
            controller = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            poller.register(controller, 0)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_asked_to_end", True))
        while True:
            leaving = self._asked_to_end  # before the rank is looked at: what is seen then is not older
            events = dict(poller.poll(_POLL_SECONDS * 1000))
            if controller in events:
                _end_launchers()
            if controller in events or sys.stdout.fileno() in events:
                rank.kill()
                _end_deepspeed_launcher()
                return 1
            if output in events and not self._pass_on(output):
                poller.unregister(output)
                writes = False
            if leaves_at is not None:
                if leaving or time.monotonic() >= leaves_at:
                    return 1
                continue
            if rank.poll() is not None:
                while self._pass_on(output):
                    pass
                self._report(rank.pid, ended=rank.returncode, last=self._last[:500])
                if rank.returncode in (0, protocol.MISTAKE_STATUS):
                    return rank.returncode
                leaves_at = time.monotonic() + _STAY_SECONDS
                continue
            # A rank that has closed its output is ending, for which a launcher ends all agents: its end is the cause.
            if leaving and writes:
                return 1
            before, stopped = stopped, psutil.Process(rank.pid).status() == psutil.STATUS_STOPPED
            if (stopped and not before) or time.monotonic() >= next_report:
                self._report(rank.pid, stopped=stopped)
                next_report = time.monotonic() + _REPORT_SECONDS

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
                _write(self._prefix + line[begin : begin + _PIECE])
        return bool(data)

    def _report(self, pid: int, stopped: bool = False, ended: int | None = None, last: str = "") -> None:
        report = protocol.RankReport(self._rank, self._host, pid, stopped, ended, last)
        _write(protocol.REPORT.encode() + msgspec.json.encode(report))


def _write(line: bytes) -> None:
    left = line + b"\n"
    with contextlib.suppress(OSError):  # the poll finds a broken pipe
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]


def _end_launchers() -> None:
    """End what the controller started on this host; launchers end what they started on others."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(protocol.MARK) == os.environ[protocol.MARK] and process.pid != os.getpid():
                process.terminate()


def _end_deepspeed_launcher() -> None:
    """End what started this agent where nobody listens any more; by itself it takes half a minute."""
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(os.getppid())
        if "deepspeed.launcher.launch" in parent.cmdline():
            parent.kill()


def _start_agents(ranks: int, arguments: list[str]) -> int:
    """In a container: start an agent per rank, and wait for all; the highest exit status."""
    words = [sys.executable, "-m", "gaudi_perf.workers.rank.agent", *arguments]
    places = [dict(zip(_NAMES[0], map(str, (rank, ranks, rank, ranks)), strict=True)) for rank in range(ranks)]
    agents = [subprocess.Popen(words, env={**os.environ, **place}) for place in places]
    return max(agent.wait() for agent in agents)


def main() -> None:
    """Hold a rank for as long as the launcher lives."""
    parser = argparse.ArgumentParser(description="A rank agent of gaudi-perf; started by a launcher, not by hand.")
    parser.add_argument("--engine", required=True, help="the name of the accelerator")
    parser.add_argument("--socket", required=True, help="path of the controller's Unix domain socket")
    parser.add_argument("--meeting", required=True, help="where ranks find each other, as file:// or tcp://")
    parser.add_argument("--ranks", type=int, default=0, help="start so many agents, where no launcher does")
    arguments = parser.parse_args()
    die_with_parent(os.getppid())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = ["--engine", arguments.engine, "--socket", arguments.socket, "--meeting", arguments.meeting]
    if arguments.ranks:
        sys.exit(_start_agents(arguments.ranks, words))
    if protocol.HANDED_ON in os.environ:
        handed_on = protocol.HandedOn.decode(os.environ[protocol.HANDED_ON])
        os.environ.update(handed_on.variables)
        if handed_on.visible_devices is not None and handed_on.first_host == os.uname().nodename:
            # On other hosts slots are the first devices.
            os.environ[protocol.VISIBLE_DEVICES] = handed_on.visible_devices
    try:
        variables = {**place_in(os.environ), "DS_ACCELERATOR": accelerator_named(arguments.engine).kind}
        sys.exit(RankAgent(int(variables["RANK"]), arguments.socket).run(words, variables))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
