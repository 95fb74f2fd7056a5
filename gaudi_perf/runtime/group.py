"""A worker group as the controller sees it: started, asked, watched by deadlines, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import psutil

from gaudi_perf.runtime import protocol
from gaudi_perf.runtime.engines.base import Accelerator
from gaudi_perf.runtime.launch import Launch
from gaudi_perf.runtime.plan import Deadlines
from gaudi_perf.runtime.telemetry.watch import TelemetryWatch
from gaudi_perf.vocabulary.documents import encode_line

_LAST_LINES = 12
_POLITE_SECONDS = 2.0
_MARK = "_GAUDI_PERF_WORKER_GROUP"  # environment variable by which all that a worker started is found again
_LINE_LIMIT = 64 * 1024 * 1024  # bytes; a longer line is no reply

ReplyT = TypeVar("ReplyT", bound=protocol.Reply)


class GroupFailure(Exception):
    """A worker group died, went silent or reported a fault.

    Attributes:
        phase: what it was doing.
        sentence: what happened.
        log: the last lines of its log.
        mistake: whether a person can mend it (a wrong path of weights), in which case the log tells nothing more.
    """

    def __init__(self, phase: str, sentence: str, log: str = "", mistake: bool = False) -> None:
        super().__init__(sentence)
        self.phase = phase
        self.sentence = sentence
        self.log = log
        self.mistake = mistake


class WorkerGroup:
    """One worker process and the connection to it."""

    def __init__(
        self,
        spec: protocol.GroupSpec,
        accelerator: Accelerator,
        directory: Path,
        deadlines: Deadlines,
        progress: Callable[[str], None] = lambda text: None,
        program: Sequence[str] | None = None,
        launch: Launch | None = None,
    ) -> None:
        """Nothing starts yet.

        Args:
            directory: a private directory, for the socket and the log.
            progress: takes a sentence for people, whenever the worker says what it is doing.
            program: what to start instead of a worker; it is given ``--socket`` and ``--parent``.
            launch: how workers of its stack are started; by this interpreter unless told.
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
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._stream: BinaryIO | None = None
        self._buffer = b""
        self._decoder = msgspec.json.Decoder(protocol.AnyReply)

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
        """
        begin = time.monotonic()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / "socket"
        added = {
            **self._accelerator.environment(self.spec, self._directory),
            "PYTHONUNBUFFERED": "1",
            _MARK: str(self._directory),
        }
        environment = self._launch.variables(added, self._directory)
        words = self._launch.command(self._directory, os.getpid())
        if self._program is not None:
            words = [*self._program, "--socket", str(path), "--parent", str(os.getpid())]
        if self._accelerator.telemetry:
            log_path = self._directory / "telemetry.log"
            self.telemetry = TelemetryWatch(self._accelerator.telemetry, {**os.environ, **added}, log_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, self.log_path.open("ab") as log:
            listener.bind(str(path))
            listener.listen(1)
            try:
                self._process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,  # Ctrl-C is the controller's to handle
                )
            except OSError as error:
                raise GroupFailure("start", f"{words[0]} cannot be started: {error.strerror}") from None
            self._connection = self._accept(listener, begin + self._deadlines.start)
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
        until = time.monotonic() + (deadline if deadline is not None else self._deadlines.round)
        assert self._connection is not None, "start() comes first"
        try:
            self._connection.settimeout(max(0.1, until - time.monotonic()))
            self._connection.sendall(encode_line(request))
        except OSError:
            raise self._dead(phase) from None
        return self._receive(phase, until, kind)

    def pids(self) -> frozenset[int]:
        """Process ids of the worker and everything that it started."""
        known = [] if self._process is None else [self._process.pid, *(p.pid for p in _descendants(self._process.pid))]
        return frozenset([*known, *(process.pid for process in _marked(str(self._directory)))])

    def close(self) -> None:
        """End the worker and everything that it started; never raises, never leaves a process behind."""
        if self.telemetry is not None:
            self.telemetry.close()
        known = [] if self._process is None else _descendants(self._process.pid)
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.settimeout(_POLITE_SECONDS)
                self._connection.sendall(encode_line(protocol.Stop()))
                self._connection.shutdown(socket.SHUT_WR)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self._connection is not None:
                    self._process.wait(timeout=_POLITE_SECONDS)
            self._kill(self._process, known)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _kill(self, process: subprocess.Popen[bytes], known: list[psutil.Process]) -> None:
        # The worker leads a process group, which outlives it as long as it has a member.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Children may have sessions of their own, and parents that are gone.
        until = time.monotonic() + _POLITE_SECONDS
        while (left := _alive([*known, *_marked(str(self._directory))])) and time.monotonic() < until:
            for descendant in left:
                with contextlib.suppress(psutil.Error):
                    descendant.kill()
            psutil.wait_procs(left, timeout=0.1)

    def _accept(self, listener: socket.socket, until: float) -> socket.socket:
        assert self._process is not None
        listener.settimeout(0.05)
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]
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
                raise GroupFailure(phase, reply.message, "" if reply.mistake else self._last_lines(), reply.mistake)
            else:
                raise GroupFailure(phase, f"the worker answered {type(reply).__name__}, not {kind.__name__}")

    def _line(self, phase: str, until: float, begin: float) -> bytes:
        assert self._connection is not None
        while b"\n" not in self._buffer:
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise self._silent(phase, until - begin)
            self._connection.settimeout(remaining)
            try:
                chunk = self._connection.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                chunk = b""
            if not chunk or len(self._buffer) > _LINE_LIMIT:
                raise self._dead(phase)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _silent(self, phase: str, seconds: float) -> GroupFailure:
        sentence = f"the worker (process {self.pid}) gave no answer in {phase} within {seconds:.0f} s, and was ended"
        return GroupFailure(phase, sentence, self._last_lines())

    def _dead(self, phase: str) -> GroupFailure:
        assert self._process is not None
        try:
            status = _status(self._process.wait(timeout=_POLITE_SECONDS))
        except subprocess.TimeoutExpired:
            status = "closed its connection"
        return GroupFailure(phase, f"the worker (process {self.pid}) {status} in {phase}", self._last_lines())

    def _last_lines(self) -> str:
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 16384))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_LAST_LINES:])


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _marked(mark: str) -> list[psutil.Process]:
    """Processes that were started, at whatever remove, with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(_MARK) == mark:
                found.append(process)
    return found


def _alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    alive = []
    for process in set(processes):
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def _status(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
