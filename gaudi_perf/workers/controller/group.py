"""A worker group as the controller sees it: started, asked, watched by deadlines, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from gaudi_perf import protocol
from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.workers import processes
from gaudi_perf.workers.controller.hosts import Hosts
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.launchers import Start, start_of
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.rank_monitor import RankWatch
from gaudi_perf.workers.controller.telemetry.watch import TelemetryWatch
from gaudi_perf.workers.rank.agent import ALIVE, PATIENCE

_LAST_LINES = 12
_POLITE_SECONDS = 2.0
_LAUNCHER_SECONDS = 4.0  # that a launcher may take to end what it started on other hosts; Open MPI takes 2.4
_WORD_SECONDS = 8.0  # that keepers may take to tell what is wrong with their ranks, once something is
_LOOK_SECONDS = 0.2  # how often the ranks of a group are looked after while one of them is waited for
_LINE_LIMIT = 64 * 1024 * 1024  # bytes; a longer line is no reply

ReplyT = TypeVar("ReplyT", bound=protocol.Reply)


class GroupFailure(Exception):
    """A worker group died, went silent or reported a fault.

    Attributes:
        phase: what it was doing.
        sentence: what happened.
        log: the last lines of its log.
        mistake: whether a person can mend it (a wrong path of weights), in which case the log tells nothing more.
        log_path: where the whole log is, for as long as the session's private directory; None if there is none, or for
            a mistake.
    """

    def __init__(self, phase: str, sentence: str, log: str = "", mistake: bool = False) -> None:
        super().__init__(sentence)
        self.phase = phase
        self.sentence = sentence
        self.log = log
        self.mistake = mistake
        self.log_path: Path | None = None


class WorkerGroup:
    """The processes that hold a model, and the connection to the one that leads."""

    def __init__(
        self,
        spec: protocol.GroupSpec,
        accelerator: Accelerator,
        directory: Path,
        deadlines: Deadlines,
        progress: Callable[[str], None] = lambda text: None,
        program: Sequence[str] | None = None,
        launch: Launch | None = None,
        hosts: Hosts | None = None,
    ) -> None:
        """Nothing starts yet.

        Args:
            directory: a private directory, for the socket and the log.
            progress: takes a sentence for people, whenever the worker says what it is doing.
            program: what to start instead of a worker; it is given ``--socket`` and ``--parent``.
            launch: how workers of its stack are started; by this interpreter unless told.
            hosts: where the devices are, if not all on this machine.
        """
        self.spec = spec
        self.loaded: protocol.Loaded | None = None
        self.phases_s: dict[str, float] = {}
        self.telemetry: TelemetryWatch | None = None
        self._accelerator = accelerator
        self._directory = directory
        self._deadlines = deadlines
        self._progress = progress
        self._program = program
        self._launch = launch or Launch()
        self._hosts = hosts
        self._watch: RankWatch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._meeting: socket.socket | None = None  # until rank 0 has it
        self._alive: int | None = None  # open for as long as this process lives, where there are several hosts
        self._buffer = b""
        self._began = 0.0
        self._lost = False  # something of it hangs or is gone: it is not asked to end
        self._decoder = msgspec.json.Decoder(protocol.AnyReply)

    @property
    def directory(self) -> Path:
        """The group's private directory."""
        return self._directory

    @property
    def log_path(self) -> Path:
        """Where standard output and error of the worker go."""
        return self._directory / "worker.log"

    @property
    def pid(self) -> int | None:
        """Process id of the worker, once started."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the worker and wait until it has connected.

        Raises:
            GroupFailure: it ended, or did not connect in time.
            UserError: what is needed to start it is not there.
        """
        try:
            self._start()
        except OSError as error:  # no more files, processes or space; what started is ended by close()
            where = error.filename or self._directory
            raise GroupFailure("start", f"{where}: {error.strerror or error}", self._last_lines()) from None

    def _start(self) -> None:
        begin, self._began = time.monotonic(), time.time()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / "socket"
        start = start_of(self.spec, self._directory, os.getpid(), self._launch, self._hosts)
        self._meeting = start.meeting
        if self._meeting is not None:
            os.mkfifo(self._directory / ALIVE, 0o600)
            self._alive = os.open(self._directory / ALIVE, os.O_RDWR)
        added = {
            **self._accelerator.environment(self.spec, self._directory),
            **start.environment,
            "PYTHONUNBUFFERED": "1",
            processes.MARK: str(self._directory),
            PATIENCE: str(self._deadlines.load),
        }
        environment = start.prepare(self._launch.variables(added, self._directory))
        words = list(start.command)
        if self._program is not None:
            words = [*self._program, "--socket", str(path), "--parent", str(os.getpid())]
        if self._accelerator.telemetry:
            log_path = self._directory / "telemetry.log"
            # It watches the devices that the stack shows its workers, but runs on this interpreter.
            of_stack = {name: value for name, value in self._launch.environment if not name.startswith("PYTHON")}
            watched = {**os.environ, **added, **of_stack}
            self.telemetry = TelemetryWatch(self._accelerator, watched, log_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen(1)
            with self._output(start) as output:
                try:
                    self._process = subprocess.Popen(
                        words,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=environment,
                        start_new_session=True,  # Ctrl-C is the controller's to handle
                    )
                except OSError as error:
                    raise GroupFailure("start", f"{words[0]} cannot be started: {error.strerror}") from None
            self._connection = self._accept(listener, begin + self._deadlines.start)
        if self._meeting is not None:
            try:
                socket.send_fds(self._connection, [b"\n"], [self._meeting.fileno()])
            except OSError:
                raise self._dead("start") from None
            self._leave_meeting()
        self._receive("start", begin + self._deadlines.start, protocol.Hello)
        self.phases_s["start"] = time.monotonic() - begin

    def load(self) -> protocol.Loaded:
        """Load the model.

        Raises:
            GroupFailure: it could not be loaded.
        """
        begin = time.monotonic()
        request = protocol.Load(group=self.spec)
        self.loaded = self.ask(request, protocol.Loaded, phase="load", deadline=self._deadlines.load)
        self.phases_s["load"] = time.monotonic() - begin
        self.phases_s |= self._start_up(self.loaded.phases_s)
        return self.loaded

    def ask(
        self, request: protocol.Request, kind: type[ReplyT], *, phase: str, deadline: float | None = None
    ) -> ReplyT:
        """Send a request and wait for its reply.

        Args:
            request: what to ask.
            kind: the reply that is expected.
            phase: what to call this in a failure.
            deadline: seconds until the group counts as hung; that of a round unless given.

        Raises:
            GroupFailure: the worker failed, died, went silent or answered something else.
        """
        seconds = deadline if deadline is not None else self._deadlines.round
        until = time.monotonic() + seconds
        if self._watch is not None:
            self._watch.asked()
            request = msgspec.structs.replace(request, patience_s=seconds)
        assert self._connection is not None, "start() comes first"
        try:
            self._connection.settimeout(max(0.1, until - time.monotonic()))
            self._connection.sendall(encode_line(request))
        except OSError:
            raise self._dead(phase) from None
        return self._receive(phase, until, kind)

    def pids(self) -> frozenset[int]:
        """Process ids of the worker and everything that it started."""
        known = (
            []
            if self._process is None
            else [self._process.pid, *(p.pid for p in processes.descendants(self._process.pid))]
        )
        return frozenset([*known, *(process.pid for process in processes.marked(str(self._directory)))])

    def close(self) -> None:
        """End the worker and everything that it started; never raises, never leaves a process behind."""
        if self.telemetry is not None:
            self.telemetry.close()
        known = [] if self._process is None else processes.descendants(self._process.pid)
        if self._connection is not None and not self._lost:
            with contextlib.suppress(OSError):
                self._connection.settimeout(_POLITE_SECONDS)
                self._connection.sendall(encode_line(protocol.Stop()))
                self._connection.shutdown(socket.SHUT_WR)
        if self._process is not None:
            if self._connection is not None and not self._lost:
                self._wait_for_end()
            if self._alive is not None:
                processes.ask_to_end(self._process.pid, known, _LAUNCHER_SECONDS)
            processes.end_all(self._process.pid, known, str(self._directory), _POLITE_SECONDS)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps even a killed process
                self._process.wait(timeout=_POLITE_SECONDS)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._watch is not None:
            self._watch.end()
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None
        self._leave_meeting()

    def _wait_for_end(self) -> None:
        """Wait until a worker that was asked to end has, or all ranks of this host have.

        DeepSpeed's launcher sleeps for a second after each rank that ended.
        """
        assert self._process is not None
        until = time.monotonic() + _POLITE_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            if self._watch is not None and self._watch.all_ended and self._alive is None:
                return
            time.sleep(0.02)

    def _leave_meeting(self) -> None:
        if self._meeting is not None:
            self._meeting.close()
            self._meeting = None

    def _start_up(self, told: dict[str, float]) -> dict[str, float]:
        """What the start of several ranks consisted of; ``launcher`` is told as a time of day."""
        times = dict(told)
        if "launcher" in times:
            times["launcher"] = max(0.0, times["launcher"] - self._began)
        return {f"start: {name}": seconds for name, seconds in times.items()}

    def _output(self, start: Start) -> BinaryIO:
        """Where the worker writes: into the log, or where keepers speak into what is read here."""
        if start.ranks == 1 or self._program is not None:
            return self.log_path.open("ab")
        self._watch = RankWatch(self.log_path, self._deadlines.host)
        return os.fdopen(self._watch.begin(), "wb")

    def _accept(self, listener: socket.socket, until: float) -> socket.socket:
        assert self._process is not None
        listener.settimeout(0.05)
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]
            self._look_after("start")
            if self._process.poll() is not None:
                raise self._dead("start")
        raise self._silent("start", self._deadlines.start)

    def _receive(self, phase: str, until: float, kind: type[ReplyT]) -> ReplyT:
        begin = time.monotonic()
        while True:
            line = self._line(phase, until, begin)
            try:
                reply = self._decoder.decode(line)
            except msgspec.DecodeError as error:
                raise GroupFailure(phase, f"the worker's answer is not valid: {error}", self._last_lines()) from None
            if isinstance(reply, kind):
                return reply
            if isinstance(reply, protocol.Progress):
                self._progress(reply.text)
            elif isinstance(reply, protocol.Failed):
                if reply.mistake:
                    raise GroupFailure(phase, reply.message, mistake=True)
                self._look_after(phase, _WORD_SECONDS)  # another rank's end may have been the cause
                of = "" if self._watch is None else f"{self._watch.name(0)} failed in {phase}: "
                raise GroupFailure(phase, of + reply.message, self._last_lines())
            else:
                raise GroupFailure(phase, f"the worker answered {type(reply).__name__}, not {kind.__name__}")

    def _line(self, phase: str, until: float, begin: float) -> bytes:
        assert self._connection is not None
        while b"\n" not in self._buffer:
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise self._silent(phase, until - begin)
            self._connection.settimeout(remaining if self._watch is None else min(remaining, _LOOK_SECONDS))
            try:
                chunk = self._connection.recv(1 << 16)
            except TimeoutError:
                self._look_after(phase)
                continue
            except OSError:
                chunk = b""
            if not chunk or len(self._buffer) > _LINE_LIMIT:
                raise self._dead(phase)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _look_after(self, phase: str, patience: float = 0.0) -> None:
        """Raise if a rank, or what started the ranks, is lost.

        Args:
            patience: seconds to wait for word of a rank that is lost, where something is wrong already.
        """
        if self._watch is None or self._process is None:
            return
        ended = False
        until = time.monotonic() + patience
        while True:
            if not ended and self._process.poll() is not None:
                ended = True
                until = time.monotonic() + _POLITE_SECONDS  # in which what keepers said before is read
            mistake = self._watch.mistake()
            if mistake:
                raise GroupFailure(phase, mistake, mistake=True)
            trouble = self._watch.trouble(phase, more=not ended)
            if trouble is not None:
                self._lost = True
                raise GroupFailure(phase, trouble[1], self._watch.last_lines(trouble[0]))
            if time.monotonic() >= until:
                break
            time.sleep(0.05)
        if ended:
            status = processes.status_text(self._process.wait())
            self._lost = True
            sentence = f"the launcher of the ranks (process {self.pid}) {status} in {phase}"
            raise GroupFailure(phase, sentence, self._last_lines())

    def _silent(self, phase: str, seconds: float) -> GroupFailure:
        self._lost = True
        if self._watch is not None:
            blamed = self._watch.blamed(self.pids())
            name = f"group of {self.spec.devices} ranks"
        else:
            name, blamed = f"worker (process {self.pid})", ""
        sentence = f"the {name} gave no answer in {phase} within {seconds:.0f} s, and was ended"
        sentence += f": {blamed}" if blamed else ""
        return GroupFailure(phase, sentence, self._last_lines())

    def _dead(self, phase: str) -> GroupFailure:
        assert self._process is not None
        if self._watch is not None:
            try:
                self._look_after(phase, _WORD_SECONDS)
            except GroupFailure as failure:
                return failure
            return GroupFailure(phase, f"rank 0 closed its connection in {phase}", self._watch.last_lines(0))
        try:
            status = processes.status_text(self._process.wait(timeout=_POLITE_SECONDS))
        except subprocess.TimeoutExpired:
            status = "closed its connection"
        return GroupFailure(phase, f"the worker (process {self.pid}) {status} in {phase}", self._last_lines())

    def _last_lines(self) -> str:
        if self._watch is not None:
            return self._watch.last_lines()
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 16384))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_LAST_LINES:])
