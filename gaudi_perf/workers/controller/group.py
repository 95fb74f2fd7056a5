"""A worker group as the controller sees it: started, asked, held to deadlines, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from gaudi_perf import protocol
from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions
from gaudi_perf.workers.controller.hosts import Hosts
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.processes import GroupFailure as GroupFailure
from gaudi_perf.workers.controller.starting import GroupProcesses
from gaudi_perf.workers.controller.telemetry import TelemetryWatch

_STOP_SECONDS = 2.0  # that sending the last request may take
_POLL_SECONDS = 0.2  # how often the ranks of a group are checked while one of them is waited for
_LONGEST_PAUSE = 5.0  # seconds between two checks of a deadline; more of them passed while this process was stopped
_LINE_LIMIT = 64 * 1024 * 1024  # bytes; a longer line is no reply

_REPLIES = msgspec.json.Decoder(protocol.AnyReply)

ReplyT = TypeVar("ReplyT", bound=protocol.Reply)


class Patience:
    """What is left of a deadline, in seconds; none of it passes while this process is stopped (SIGSTOP)."""

    def __init__(self, seconds: float) -> None:
        self.seconds = self._left = seconds
        self._last = time.monotonic()

    def left(self) -> float:
        """Called at least every ``_LONGEST_PAUSE`` while this process runs."""
        passed, self._last = time.monotonic() - self._last, time.monotonic()
        self._left -= passed if passed < _LONGEST_PAUSE else 0.0
        return self._left


def variant_of(case: Case) -> protocol.Variant:
    """How a case generates; a dataset's prompts come with each request."""
    workload, configuration = case.workload, case.configuration
    return protocol.Variant(
        graphs=configuration.graphs,
        compiled=configuration.compiled,
        num_beams=workload.num_beams,
        penalty_alpha=workload.penalty_alpha,
        top_k=workload.top_k,
        kv_cache=configuration.kv_cache,
        new_tokens=workload.new_tokens,
        batch_size=workload.batch_size,
        prompt_tokens=workload.prompt_tokens,
        prompt="" if workload.of_dataset else workload.prompt,
        gaudi_options=case.gaudi_options or GaudiOptions(),
    )


@dataclass(eq=False, repr=False)
class WorkerGroup:
    """The processes that hold a model, and the connection to the one that leads.

    Attributes:
        directory: a private directory, for the socket and the log.
        progress: takes a sentence for people, whenever the worker says what it is doing.
        loaded: once ``load`` has returned.
        phases_s: how long starting and loading took.
        processes: those that it has started.
    """

    spec: protocol.GroupSpec
    accelerator: Accelerator
    directory: Path
    deadlines: Deadlines
    progress: Callable[[str], None] = lambda text: None
    launch: Launch = field(default_factory=Launch)
    hosts: Hosts | None = None
    loaded: protocol.Loaded = field(init=False)
    phases_s: dict[str, float] = field(default_factory=dict, init=False)
    telemetry: TelemetryWatch | None = field(default=None, init=False)
    _connection: socket.socket | None = field(default=None, init=False)
    _buffer: bytes = field(default=b"", init=False)
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.processes = GroupProcesses(self.spec, self.directory, self.deadlines.host)

    def start(self) -> None:
        """Start the worker and wait until it has connected.

        Raises GroupFailure if it ended, or did not connect in time, UserError if what it needs is not there.
        """
        try:
            self._start()
        except OSError as error:  # no more files, processes or space; what started is ended by close()
            where = error.filename or self.directory
            sentence = f"{where}: {error.strerror or error}"
            raise GroupFailure("start", sentence, self.processes.last_lines()) from None

    def _start(self) -> None:
        begin, self._began = time.monotonic(), time.time()
        patience = Patience(self.deadlines.start)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        added = {
            **self.accelerator.environment(self.spec, self.directory),
            "PYTHONUNBUFFERED": "1",
            protocol.MARK: str(self.directory),
            protocol.PATIENCE: str(self.deadlines.load),
        }
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.directory / "socket"))
            listener.listen(1)
            self.processes.start(self.accelerator, added, self.launch, self.hosts)
            if self.accelerator.telemetry:
                # It reads the devices that the stack shows its workers, but runs on this interpreter.
                shown = {**os.environ, **added}
                shown |= {key: value for key, value in self.launch.environment.items() if not key.startswith("PYTHON")}
                self.telemetry = TelemetryWatch(self.accelerator, shown, self.directory / "telemetry.log")
            self._connection = self._accept(listener, patience)
        if self.processes.meeting is not None:
            try:
                socket.send_fds(self._connection, [b"\n"], [self.processes.meeting.fileno()])
            except OSError:
                raise self.processes.disconnected("start") from None
            self.processes.meeting.close()
        self._receive("start", patience, protocol.Hello)
        self.phases_s["start"] = time.monotonic() - begin

    def load(self) -> protocol.Loaded:
        """Load the model, or raise GroupFailure."""
        begin, request = time.monotonic(), protocol.Load(group=self.spec)
        self.loaded = self.ask(request, protocol.Loaded, phase="load", deadline=self.deadlines.load)
        self.phases_s["load"] = time.monotonic() - begin
        times = dict(self.loaded.phases_s)
        if "launch" in times:  # which is the time at which rank 0 was started
            times["launch"] = max(0.0, times["launch"] - self._began)
        self.phases_s |= {f"start: {name}": seconds for name, seconds in times.items()}
        return self.loaded

    def ask(
        self, request: protocol.Request, kind: type[ReplyT], *, phase: str, deadline: float | None = None
    ) -> ReplyT:
        """Send a request and wait for a reply of this kind.

        ``deadline``: seconds until the group counts as hung; that of a round unless given.
        Raises GroupFailure, of this phase, if the worker failed, died, went silent or answered something else.
        """
        seconds = deadline if deadline is not None else self.deadlines.round
        patience = Patience(seconds)
        if self.processes.monitor is not None:
            self.processes.monitor.begin_request()
            request = msgspec.structs.replace(request, patience_s=seconds)
        assert self._connection is not None, "start() comes first"
        try:
            self._connection.settimeout(seconds)
            self._connection.sendall(encode_line(request))
        except OSError:
            raise self.processes.disconnected(phase) from None
        return self._receive(phase, patience, kind)

    def prepare(self, case: Case) -> float | None:
        """Have the model generate as a case does; the seconds that its prompt's tokenizer takes, None without one."""
        request = protocol.Prepare(variant=variant_of(case))
        return self.ask(request, protocol.Prepared, phase="prepare").tokenization_s

    def close(self) -> None:
        """End the worker and everything that it started; never raises, never leaves a process behind."""
        if self.telemetry is not None:
            self.telemetry.close()
        self.processes.end(self._stop if self._connection is not None and not self.processes.lost else None)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _stop(self) -> None:
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.settimeout(_STOP_SECONDS)
            self._connection.sendall(encode_line(protocol.Stop()))
            self._connection.shutdown(socket.SHUT_WR)

    def _accept(self, listener: socket.socket, patience: Patience) -> socket.socket:
        listener.settimeout(0.05)
        while patience.left() > 0:
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]
            self.processes.check("start")
            if self.processes.ended:
                raise self.processes.disconnected("start")
        raise self.processes.silent("start", self.deadlines.start)

    def _receive(self, phase: str, patience: Patience, kind: type[ReplyT]) -> ReplyT:
        while True:
            line = self._line(phase, patience)
            try:
                reply = _REPLIES.decode(line)
            except msgspec.DecodeError as error:
                sentence = f"the worker's answer is not valid: {error}"
                raise GroupFailure(phase, sentence, self.processes.last_lines()) from None
            if isinstance(reply, kind):
                return reply
            if isinstance(reply, protocol.Progress):
                self.progress(reply.text)
                if patience.left() <= -_LONGEST_PAUSE:  # until then the answer may be next, come in a short stop
                    raise self.processes.silent(phase, patience.seconds)
            elif isinstance(reply, protocol.Failed):
                if reply.mistake:
                    raise GroupFailure(phase, reply.message, mistake=True)
                self.processes.check(phase, wait=True)  # another rank's end may have been the cause
                monitor = self.processes.monitor
                of = "" if monitor is None else f"{monitor.name(0)} failed in {phase}: "
                raise GroupFailure(phase, of + reply.message, self.processes.last_lines())
            else:
                raise GroupFailure(phase, f"the worker answered {type(reply).__name__}, not {kind.__name__}")

    def _line(self, phase: str, patience: Patience) -> bytes:
        assert self._connection is not None
        while b"\n" not in self._buffer:
            # Judged before it is listened once more: this process may be stopped while it listens, for an answer that
            # is there by the time it goes on.
            left = patience.left()
            self._connection.settimeout(min(max(left, 0.001), _POLL_SECONDS))
            try:
                chunk = self._connection.recv(1 << 16)
                if not chunk or len(self._buffer) > _LINE_LIMIT:
                    raise self.processes.disconnected(phase)
                self._buffer += chunk
            except TimeoutError:
                self.processes.check(phase)
                if left <= 0:
                    raise self.processes.silent(phase, patience.seconds) from None
            except OSError:
                raise self.processes.disconnected(phase) from None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
