"""Starts and ends the processes of a worker group: a worker, ranks of this host, or what starts ranks elsewhere.

Each is a session of its own, so that Ctrl-C is the controller's to handle.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psutil

from gaudi_perf import protocol
from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller import deepspeed_launcher, processes
from gaudi_perf.workers.controller.hosts import Hosts
from gaudi_perf.workers.controller.launch import AGENT, RANK, Launch
from gaudi_perf.workers.controller.processes import GroupFailure
from gaudi_perf.workers.controller.rank_monitor import LAST_LINES, RankMonitor

_POLITE_SECONDS = 2.0
_LAUNCHER_SECONDS = 4.0  # that a launcher may take to end what it started on other hosts; Open MPI takes 2.4
_REPORT_SECONDS = 8.0  # that the end of a rank may take to be known, once something is wrong


class GroupProcesses:
    """The processes of a group that the controller has started, and what becomes of them.

    Attributes:
        monitor: of the ranks, where there are several.
        meeting: the socket at whose address ranks of several hosts meet, until rank 0 has it.
        lost: whether something of the group hangs or is gone, so that it cannot be asked to end.
    """

    def __init__(self, spec: protocol.GroupSpec, directory: Path, silence_s: float) -> None:
        self.log_path = directory / "worker.log"
        self.monitor: RankMonitor | None = None
        self.meeting: socket.socket | None = None
        self.lost = False
        self._spec = spec
        self._directory = directory
        self._silence_s = silence_s
        self._started: list[subprocess.Popen[bytes]] = []
        self._alive: int | None = None  # open for as long as this process lives, where there are agents

    @property
    def pid(self) -> int | None:
        """Process id of the worker, the first rank or the launcher, once started."""
        return self._started[0].pid if self._started else None

    @property
    def ended(self) -> bool:
        """Whether all that was started has ended."""
        return all(process.poll() is not None for process in self._started)

    def start(self, accelerator: Accelerator, added: Mapping[str, str], launch: Launch, hosts: Hosts | None) -> None:
        """Start them, with these environment variables added to all.

        One device: a worker. Several of this host: a process per rank. Several hosts: DeepSpeed's launcher, which
        starts an agent per rank. In a container one agent starts the others.

        Raises GroupFailure if a program cannot be started, OSError if there is no room for one more file, or no more
        files or processes, UserError if what is needed is not installed, or the hosts are not as given.
        """
        directory, ranks = self._directory, self._spec.devices
        if hosts is not None:
            deepspeed_launcher.require_first_host(hosts)
        if ranks == 1:
            with self.log_path.open("ab") as log:
                self._run(launch.command(directory), launch.variables(added, directory), log)
            return
        if launch.own and find_spec("deepspeed") is None:
            raise UserError(f'{ranks} devices need DeepSpeed, which is not installed: pip install -e ".[deepspeed]"')
        self.monitor = RankMonitor(self.log_path, self._silence_s)
        used = () if hosts is None else hosts.for_devices(ranks)
        arguments = ["--engine", self._spec.engine, "--socket", str(directory / "socket"), "--meeting"]
        if hosts is not None and len(used) > 1:
            start = deepspeed_launcher.prepare(used, hosts.launcher, launch, arguments, added, directory)
            command, environment, self.meeting = start
            return self._run_launcher(command, environment)
        temporary = directory / "tmp"  # removed with the group, whatever torch and DeepSpeed leave there
        temporary.mkdir(mode=0o700, exist_ok=True)
        environment = launch.variables({**added, "TMPDIR": str(temporary)}, directory)
        arguments.append(f"file://{directory / 'meeting'}")
        interpreter = launch.interpreter(directory)
        if launch.container:
            return self._run_launcher([*interpreter, "-m", AGENT, *arguments, "--ranks", str(ranks)], environment)
        command = [*interpreter, "-u", "-m", RANK, *arguments, "--parent", launch.parent]
        for rank in range(ranks):
            place = _deepspeed_variables(rank, ranks, accelerator.kind)
            self.monitor.add(rank, self._run(command, {**environment, **place}, subprocess.PIPE))

    def check(self, phase: str, wait: bool = False) -> None:
        """Raise GroupFailure if a rank, or what started them, is lost; one process is found lost by its connection.

        ``wait`` until the end of a rank is known, where something is wrong already.
        """
        if self.monitor is None:
            return
        ended = False
        until = time.monotonic() + (_REPORT_SECONDS if wait else 0.0)
        while True:
            if not ended and self.ended:
                ended = True
                until = time.monotonic() + _POLITE_SECONDS  # in which what was written before is read
            failure = self.monitor.failure(phase, more=not ended)
            if failure is not None:
                self.lost = True
                raise failure
            if time.monotonic() >= until:
                break
            time.sleep(0.05)
        if ended:
            self.lost = True
            status = processes.status_text(self._started[0].wait())
            sentence = f"the launcher of the ranks (process {self.pid}) {status} in {phase}"
            raise GroupFailure(phase, sentence, self.last_lines())

    def silent(self, phase: str, seconds: float) -> GroupFailure:
        """What to raise where no answer came within a deadline, in seconds."""
        self.lost = True
        name, waited_for = f"worker (process {self.pid})", ""
        if self.monitor is not None:
            count = self._spec.devices
            name, waited_for = f"group of {count} ranks", self.monitor.waited_for(self.pids(), count)
        sentence = f"the {name} gave no answer in {phase} within {seconds:.0f} s, and was ended"
        return GroupFailure(phase, f"{sentence}: {waited_for}" if waited_for else sentence, self.last_lines())

    def disconnected(self, phase: str) -> GroupFailure:
        """What to raise where the worker, or rank 0, has closed its connection."""
        try:
            self.check(phase, wait=True)
        except GroupFailure as failure:
            return failure
        self.lost = True
        if self.monitor is not None:
            return GroupFailure(phase, f"rank 0 closed its connection in {phase}", self.last_lines(0))
        try:
            status = processes.status_text(self._started[0].wait(timeout=_POLITE_SECONDS))
        except subprocess.TimeoutExpired:
            status = "closed its connection"
        return GroupFailure(phase, f"the worker (process {self.pid}) {status} in {phase}", self.last_lines())

    def last_lines(self, rank: int | None = None) -> str:
        """The last lines of the log, of one rank if it wrote any."""
        if self.monitor is not None:
            return self.monitor.last_lines(rank)
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 16384))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-LAST_LINES:])

    def pids(self) -> frozenset[int]:
        """Process ids of the group and everything that it started."""
        below = [*self._descendants(), *processes.marked(str(self._directory))]
        return frozenset([*(process.pid for process in self._started), *(process.pid for process in below)])

    def end(self, stop: Callable[[], None] | None) -> None:
        """Ask the group to end, if it can be asked, and end all; never raises, never leaves a process behind."""
        known = self._descendants()
        if stop is not None:
            stop()
            until = time.monotonic() + _POLITE_SECONDS
            while not self.ended and time.monotonic() < until:
                time.sleep(0.02)
        if self._started:
            if self._alive is not None:
                processes.ask_to_end(self._started[0].pid, known, _LAUNCHER_SECONDS)
            processes.end_all(self._started, known, str(self._directory), _POLITE_SECONDS)
        if self.monitor is not None:
            self.monitor.end()
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None
        if self.meeting is not None:
            self.meeting.close()

    def _descendants(self) -> list[psutil.Process]:
        return [each for process in self._started for each in processes.descendants(process.pid)]

    def _run(
        self, command: list[str], environment: Mapping[str, str], output: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        silence, both = subprocess.DEVNULL, subprocess.STDOUT
        try:
            process = subprocess.Popen(
                command, stdin=silence, stdout=output, stderr=both, env=environment, start_new_session=True
            )
        except OSError as error:
            raise GroupFailure("start", f"{command[0]} cannot be started: {error.strerror}") from None
        self._started.append(process)
        return process

    def _run_launcher(self, command: list[str], environment: Mapping[str, str]) -> None:
        assert self.monitor is not None
        os.mkfifo(self._directory / protocol.ALIVE, 0o600)
        self._alive = os.open(self._directory / protocol.ALIVE, os.O_RDWR)
        process = self._run(command, environment, subprocess.PIPE)
        assert process.stdout is not None
        self.monitor.read(process.stdout)


def _deepspeed_variables(rank: int, ranks: int, kind: str) -> dict[str, str]:
    """What DeepSpeed reads of a rank's environment, and its launcher would set, on one host."""
    return {
        **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
        **dict.fromkeys(("WORLD_SIZE", "LOCAL_SIZE"), str(ranks)),
        "CROSS_RANK": "0",
        "CROSS_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",  # DeepSpeed wants an address; nobody uses it: ranks meet in a file
        "MASTER_PORT": "29500",
        "DS_ACCELERATOR": kind,
        protocol.STARTED: repr(time.time()),
    }
